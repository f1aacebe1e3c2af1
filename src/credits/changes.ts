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
  /**
   * Makes the change once per key and calls `record` with the balance before and after; repeated, it answers the stored
   * reply and records nothing.
   * @throws validation_error, idempotency_mismatch, request_in_progress, balance_would_be_negative
   */
  apply(
    change: CreditChange,
    record: (balance: { before: number; after: number }) => Promise<void>
  ): Promise<{ reply: CreditReply; isReplay: boolean }>
}

/** Keeps sums of micro-credits far inside the safe integers. */
const MAX_BALANCE_CREDITS = 1_000_000_000

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
    async apply(change, record) {
      const { userId, action, amount, note, key } = change
      const micro = microOf(amount)
      // Apart from the keys of the user's own predictions.
      const request = { accountId: `credits:${userId}`, key }
      const bodyHash = sha256Hex(JSON.stringify([action, micro, note]))
      const begun = await idempotency.begin({ ...request, bodyHash })
      if (begun.state === 'replay') return { reply: readReceipt(begun.receipt), isReplay: true }
      try {
        const { available } = await ledger.open(userId, openingMicro)
        if (action !== 'set' && toCredits(available) + amount > MAX_BALANCE_CREDITS)
          throw invalid(['body', 'amount'], `must not raise the balance above ${MAX_BALANCE_CREDITS} credits`)
        const { entryId, availableMicro, heldMicro } = await post(change, micro)
        const reply: CreditReply = {
          user_id: userId,
          amount,
          credits_remaining: toCredits(availableMicro),
          credits_held: toCredits(heldMicro),
          transaction_id: entryId
        }
        if (entryId !== null) await record({ before: toCredits(available), after: reply.credits_remaining })
        await idempotency.finish({ ...request, receipt: reply })
        return { reply, isReplay: false }
      } catch (error) {
        // A refusal changed nothing and frees the key; after an outage nobody knows, and the key stays taken for a while.
        if (error instanceof AppError && error.kind !== 'unavailable') await idempotency.forget(request)
        throw error
      }
    }
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
  // Written by apply above, under the same key and body.
  return receipt as CreditReply
}
