import type { Clock } from '../clock.ts'
import { AppError, invalid } from '../errors.ts'
import type { AccountRow, LedgerEntryRow } from '../store/collections.ts'
import type { Append, Guard, Store } from '../store/port.ts'
import { persist } from './persist.ts'

const OPENING_KEY = 'opening'

export interface CreditChange {
  /** Makes the change idempotent; belongs to the account. */
  key: string
  kind: 'grant' | 'adjust'
  /** Signed, not 0. */
  amountMicro: number
  note?: string
  actorId?: string
}

export interface TargetChange {
  key: string
  targetMicro: number
  note: string
  actorId: string
}

export interface Changed {
  /** Null when there was nothing to change. */
  entryId: string | null
  availableMicro: number
  heldMicro: number
  /** The change had been made before with this key. */
  isDuplicate: boolean
}

export interface Grants {
  /** The account, made if need be and with its opening amount granted exactly once, whatever crashed before. */
  open(accountId: string, openingMicro: number): Promise<AccountRow>
  /** @throws balance_would_be_negative, idempotency_mismatch, user_not_found, validation_error (balance too large) */
  change(accountId: string, change: CreditChange): Promise<Changed>
  /** Makes the target what is available, by one adjustment. @throws as change */
  setAvailable(accountId: string, change: TargetChange): Promise<Changed>
  /**
   * Frozen accounts start no predictions; what runs is settled. `append` appears with the change.
   * False if it was so already, or is no account.
   */
  setFrozen(accountId: string, isFrozen: boolean, append?: Append[]): Promise<boolean>
}

/** One entry in the making: what it says, and what must still be true of the account. */
interface Posting {
  key: string
  kind: 'grant' | 'adjust'
  delta: (account: AccountRow) => number
  guard: (account: AccountRow, delta: number) => Guard
  meta: LedgerEntryRow['meta']
  isSame: (entry: LedgerEntryRow) => boolean
}

/** Changes of accounts other than by predictions: opening, grants, adjustments, freezing. */
export function createGrants({ store, clock }: { store: Store; clock: Clock }): Grants {
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')

  async function open(accountId: string, openingMicro: number): Promise<AccountRow> {
    return persist(clock, async () => {
      const account = await accounts.get(accountId)
      if (account && !awaitsOpening(account)) return account
      if (account) await post(accountId, openingOf(account))
      else await accounts.insert(newAccount(accountId, openingMicro, clock.now()))
      return undefined
    })
  }

  async function change(accountId: string, { key, kind, amountMicro, note, actorId }: CreditChange): Promise<Changed> {
    if (!Number.isSafeInteger(amountMicro) || amountMicro === 0) throw new Error(`Not a change: ${amountMicro}`)
    return afterOpening(accountId, {
      key,
      kind,
      delta: () => amountMicro,
      guard: () => (amountMicro < 0 ? { gte: { available: -amountMicro } } : {}),
      meta: { note: note ?? null, actorId: actorId ?? null },
      isSame: ({ kind: made, delta, meta }) =>
        made === kind && delta === amountMicro && meta['note'] === (note ?? null) && meta['targetMicro'] === undefined
    })
  }

  async function setAvailable(accountId: string, { key, targetMicro, note, actorId }: TargetChange): Promise<Changed> {
    if (!Number.isSafeInteger(targetMicro) || targetMicro < 0) throw new Error(`Not an amount: ${targetMicro}`)
    return afterOpening(accountId, {
      key,
      kind: 'adjust',
      delta: (account) => targetMicro - account.available,
      guard: (account) => ({ equal: { available: account.available } }),
      meta: { note, actorId, targetMicro },
      isSame: ({ meta }) => meta['targetMicro'] === targetMicro && meta['note'] === note
    })
  }

  /** The opening amount is granted while the grant version is 0, so it has to come before any other change. */
  async function afterOpening(accountId: string, posting: Posting): Promise<Changed> {
    const account = await accounts.get(accountId)
    if (account && awaitsOpening(account)) await post(accountId, openingOf(account))
    return post(accountId, posting)
  }

  async function post(accountId: string, posting: Posting): Promise<Changed> {
    const entryId = grantId(accountId, posting.key)
    let unanswered = 0
    return persist(clock, async () => {
      // The version is read before the entry is looked for: had the entry come in between, the guard would fail.
      const account = await accounts.get(accountId)
      if (!account) throw new AppError('user_not_found')
      const made = await entries.get(entryId)
      if (made) return repeated(account, made, posting, unanswered === 0)
      const delta = posting.delta(account)
      if (delta === 0) return changed(account, null, false)
      refuseImpossible(account, delta)
      unanswered++
      const isPosted = await accounts.update(
        accountId,
        versioned(posting.guard(account, delta), account.grantVersion),
        { inc: { available: delta, grantVersion: 1 }, set: { updatedAt: clock.now() } },
        [{ collection: 'ledger_entries', document: entryOf(accountId, posting, delta, clock.now()) }]
      )
      unanswered--
      return isPosted ? changed((await accounts.get(accountId)) ?? account, entryId, false) : undefined
    })
  }

  return {
    open,
    change,
    setAvailable,
    setFrozen(accountId, isFrozen, append = []) {
      const [from, to] = isFrozen ? ['active', 'frozen'] : ['frozen', 'active']
      const turned = { set: { status: to, updatedAt: clock.now() } }
      return accounts.update(accountId, { equal: { status: from } }, turned, append)
    }
  }
}

function newAccount(id: string, opening: number, now: number): AccountRow {
  const amounts = { available: 0, held: 0, holdCount: 0, grantVersion: 0, opening }
  return { id, status: 'active', ...amounts, holds: {}, limits: {}, createdAt: now, updatedAt: now }
}

function awaitsOpening(account: AccountRow): boolean {
  return account.grantVersion === 0 && account.opening > 0
}

function openingOf({ opening }: AccountRow): Posting {
  return {
    key: OPENING_KEY,
    kind: 'grant',
    delta: () => opening,
    guard: () => ({}),
    meta: { note: null, actorId: null },
    isSame: () => true
  }
}

/** The account id is escaped, so that no other account and key make the same id. */
function grantId(accountId: string, key: string): string {
  return `g:${encodeURIComponent(accountId)}:${key}`
}

function entryOf(accountId: string, { key, kind, meta }: Posting, delta: number, at: number): LedgerEntryRow {
  const id = grantId(accountId, key)
  return { id, accountId, kind, delta, isPosting: true, requestId: key, attempt: null, at, meta }
}

function versioned(guard: Guard, grantVersion: number): Guard {
  return { ...guard, equal: { ...guard.equal, grantVersion } }
}

function refuseImpossible({ available, held }: AccountRow, delta: number): void {
  if (available + delta < 0) throw new AppError('balance_would_be_negative')
  if (!Number.isSafeInteger(available + held + delta)) throw invalid(['body', 'amount'], 'makes the balance too large')
}

function repeated(account: AccountRow, made: LedgerEntryRow, posting: Posting, isDuplicate: boolean): Changed {
  if (!posting.isSame(made)) throw new AppError('idempotency_mismatch')
  return changed(account, made.id, isDuplicate)
}

function changed({ available, held }: AccountRow, entryId: string | null, isDuplicate: boolean): Changed {
  return { entryId, availableMicro: available, heldMicro: held, isDuplicate }
}
