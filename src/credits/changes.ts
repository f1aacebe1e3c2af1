import { AppError, invalid } from '../errors.ts'
import { sha256Hex } from '../ids.ts'
import type { Idempotency } from './idempotency.ts'
import type { Ledger } from './ledger.ts'
import { toCredits, toMicro } from './pricing.ts'

/** A change of somebody's credits by an administrator. */
export interface CreditChange {
  userId: string
  /** `allocate` gives, `adjust` gives or takes, `set` makes the amount the new balance. */
  action: 'allocate' | 'adjust' | 'set'
  /** Credits. */
  amount: number
  note: string | null
  actorId: string
  /** Idempotency key of the client. */
  key: string
}

export interface CreditReply {
  user_id: string
  amount: number
  credits_remaining: number
  credits_held: number
  /** Null when there was nothing to change. */
  transaction_id: string | null
}

export interface CreditChanges {
  /** @throws validation_error for an amount with more than six decimals */
  check(amount: number): void
  /** Opens the account of a new user, with a first grant when `credits` is more than 0. */
  open(account: { userId: string; credits: number; actorId: string }): Promise<void>
  /**
   * Makes the change once per key and calls `record` with the credits before and after; repeated, it answers the stored
   * reply. After a crash `record` may be called twice for one change.
   * @throws validation_error, idempotency_mismatch, request_in_progress, balance_would_be_negative
   */
  apply(
    change: CreditChange,
    record: (balance: { before: number; after: number }) => Promise<void>
  ): Promise<{ reply: CreditReply; isReplay: boolean }>
}

/** Credit changes of administrators: the ledger behind idempotency keys. */
export function createCreditChanges(parts: {
  ledger: Ledger
  idempotency: Idempotency
  openingMicro: number
}): CreditChanges {
  const { ledger, idempotency, openingMicro } = parts

  /** One entry; the ledger, too, knows the key, so a try after a crash finds what the first one did. */
  async function post({ userId, action, note, actorId, key }: CreditChange, micro: number) {
    // Clients choose keys; the prefix keeps them apart from the ledger's own.
    const entry = { key: `api:${key}`, actorId, ...(note === null ? {} : { note }) }
    if (action === 'set') return ledger.setAvailable(userId, { ...entry, note: note ?? '', targetMicro: micro })
    const kind = action === 'allocate' ? 'grant' : 'adjust'
    return ledger.change(userId, { ...entry, kind, amountMicro: micro })
  }

  return {
    check(amount) {
      microOf(amount)
    },
    async open({ userId, credits, actorId }) {
      await ledger.open(userId, openingMicro)
      const first = { key: 'first', kind: 'grant', amountMicro: microOf(credits), actorId } as const
      if (credits > 0) await ledger.change(userId, first)
    },
    async apply(change, record) {
      const { userId, action, amount, note, key } = change
      const micro = microOf(amount)
      // Apart from the keys of the user's own predictions.
      const request = { accountId: `credits:${userId}`, key }
      const bodyHash = sha256Hex(JSON.stringify([action, micro, note]))
      const begun = await idempotency.begin({ ...request, bodyHash })
      if (begun.state === 'replay') return { reply: readReceipt(begun.receipt), isReplay: true }
      const { rid } = begun
      try {
        const { available } = await ledger.open(userId, openingMicro)
        const { entryId, availableMicro, heldMicro, isDuplicate } = await post(change, micro)
        const reply: CreditReply = {
          user_id: userId,
          amount,
          credits_remaining: toCredits(availableMicro),
          credits_held: toCredits(heldMicro),
          transaction_id: entryId
        }
        const before = toCredits(action === 'set' ? available : availableMicro - micro)
        if (entryId !== null) await record({ before, after: reply.credits_remaining })
        await idempotency.finish({ ...request, rid, receipt: reply })
        return { reply, isReplay: isDuplicate }
      } catch (error) {
        // A refusal changed nothing and frees the key; after an outage nobody knows, and the key stays taken for a while.
        if (error instanceof AppError && error.kind !== 'unavailable') await idempotency.forget({ ...request, rid })
        throw error
      }
    }
  }
}

/** Where another service keeps the balances, it alone changes them. */
export function createNoCreditChanges(): CreditChanges {
  function refuse(): never {
    throw new AppError('managed_externally', { detail: 'Credits are managed by the accounting service.' })
  }
  return {
    check(amount) {
      if (amount !== 0) refuse()
    },
    open: async ({ credits }) => {
      if (credits !== 0) refuse()
    },
    apply: async () => refuse()
  }
}

function microOf(amount: number): number {
  try {
    return toMicro(amount)
  } catch {
    throw invalid(['body', 'amount'], 'must have at most six decimals')
  }
}

function readReceipt(receipt: unknown): CreditReply {
  if (isCreditReply(receipt)) return receipt
  throw new AppError('internal_error', { detail: 'The stored reply of a credit change is unreadable.' })
}

function isCreditReply(receipt: unknown): receipt is CreditReply {
  return typeof receipt === 'object' && receipt !== null && 'transaction_id' in receipt && 'credits_held' in receipt
}
