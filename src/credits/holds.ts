import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { AccountRow, HoldState, LedgerEntryRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import { closingOf, outcomeId, reservationId, reservationOf } from './hold-writes.ts'
import type { HeldAmount, Meta } from './hold-writes.ts'
import { persist } from './persist.ts'
import { refusalOf } from './refusal.ts'

const issued: unique symbol = Symbol('issued by the ledger')

/** Proof that a run is paid for, or free; only the ledger can make one, and a prediction cannot be opened without. */
export interface Hold extends HeldAmount {
  readonly [issued]: true
}

export interface Settlement {
  chargedMicro: number
  /** Of the account now. */
  availableMicro: number
  heldMicro: number
  /** Null for a free run. */
  entryId: string | null
}

export interface RunOf {
  /** 26 characters of `[a-z2-7]`. */
  rid: string
  accountId: string
  chatflowId: string
}

export interface Reservation extends RunOf {
  amountMicro: number
  /** Counters in `limits` of the account that are reduced with it. */
  limits?: readonly string[]
  /** What the entry of a hold that expires shall tell, too. */
  meta?: Meta
}

export interface Holds {
  /** Sets the amount aside in one guarded write. @throws insufficient_credits, account_frozen, too_many_predictions */
  reserve(reservation: Reservation): Promise<Hold>
  /** The hold of a run that costs nothing. @throws account_frozen */
  free(run: RunOf): Promise<Hold>
  /** The hold with `addMicro` more, or undefined if it is gone or the account cannot cover it. */
  extend(hold: Hold, addMicro: number): Promise<Hold | undefined>
  /** Renews the lease and records what was used; never lowers either. False if the hold is gone. */
  heartbeat(hold: Hold, usedMicro: number): Promise<boolean>
  /** Charges the cost, at most what is held, and gives the rest back. Repeating it answers the first settlement. */
  settle(hold: Hold, costMicro: number, meta?: Meta): Promise<Settlement>
  /** Gives all of the hold back; as idempotent as settle. */
  void(hold: Hold, meta?: Meta): Promise<Settlement>
  /** Charges what the last heartbeat recorded on every hold whose lease has run out; answers how many. */
  expireDue(nowMs?: number): Promise<number>
}

export interface HoldsOptions {
  store: Store
  clock: Clock
  ids: Ids
  /** Most holds of one account at once. */
  maxHolds: number
  leaseMs: number
}

const PAGE = 200

/** Holds on accounts: two-phase charges that survive crashes, lost answers and writes that land late. */
export function createHolds({ store, clock, ids, maxHolds, leaseMs }: HoldsOptions): Holds {
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')

  async function reserve(reservation: Reservation): Promise<Hold> {
    const { rid, accountId, chatflowId, amountMicro, limits = [], meta = {} } = reservation
    requireAmount(amountMicro)
    if (amountMicro === 0) return free({ rid, accountId, chatflowId })
    const run = { rid, accountId, chatflowId, limits }
    return persist(clock, async (isRepeated) => {
      if (isRepeated) {
        const account = await accounts.get(accountId)
        if (!account) throw new AppError('user_not_found')
        const landed = account.holds[rid]
        if (landed) return issue({ ...run, attempt: landed.attempt, amountMicro: landed.amount })
        const refusal = refusalOf(account, { amountMicro, limits, maxHolds })
        if (refusal) throw refusal
      }
      // A new attempt for each write: one whose answer was lost may land late, and nobody must take it for this one.
      const attempt = ids.run()
      const write = reservationOf({ ...run, attempt, amountMicro }, { maxHolds, meta, now: clock.now(), leaseMs })
      const isHeld = await accounts.update(accountId, write.guard, write.change, write.append)
      return isHeld ? issue({ ...run, attempt, amountMicro }) : undefined
    })
  }

  async function free({ rid, accountId, chatflowId }: RunOf): Promise<Hold> {
    const account = await accounts.get(accountId)
    if (account?.status === 'frozen') throw new AppError('account_frozen')
    return issue({ rid, accountId, chatflowId, amountMicro: 0, attempt: ids.run(), limits: [] })
  }

  async function extend(hold: Hold, addMicro: number): Promise<Hold | undefined> {
    requireAmount(addMicro)
    if (hold.amountMicro === 0) return undefined
    let before: HoldState | undefined
    const { extended } = await persist(clock, async () => {
      const account = await accounts.get(hold.accountId)
      const state = account && stateOf(account, hold)
      if (!state) return { extended: undefined }
      // Only one write with this extension number can land, and only the owner of the hold writes it.
      if (before && state.extensions > before.extensions)
        return { extended: issue({ ...hold, amountMicro: state.amount }) }
      const spent = hold.limits.some((counter) => (account.limits[counter] ?? 0) < addMicro)
      if (spent || account.available < addMicro) return { extended: undefined }
      before = state
      const isExtended = await accounts.update(
        hold.accountId,
        {
          equal: { [member(hold, 'attempt')]: hold.attempt, [member(hold, 'extensions')]: state.extensions },
          gte: { available: addMicro, ...each(hold.limits, addMicro) }
        },
        {
          inc: {
            available: -addMicro,
            held: addMicro,
            [member(hold, 'amount')]: addMicro,
            [member(hold, 'extensions')]: 1,
            ...each(hold.limits, -addMicro)
          },
          max: { [member(hold, 'expiresAt')]: clock.now() + leaseMs },
          set: { updatedAt: clock.now() }
        }
      )
      return isExtended ? { extended: issue({ ...hold, amountMicro: state.amount + addMicro }) } : undefined
    })
    return extended
  }

  async function heartbeat(hold: Hold, usedMicro: number): Promise<boolean> {
    requireAmount(usedMicro)
    if (hold.amountMicro === 0) return true
    // The larger value wins on both: a heartbeat that lands late takes nothing back.
    return accounts.update(
      hold.accountId,
      { equal: { [member(hold, 'attempt')]: hold.attempt } },
      { max: { [member(hold, 'used')]: usedMicro, [member(hold, 'expiresAt')]: clock.now() + leaseMs } }
    )
  }

  async function close(hold: Hold, costMicro: number, meta: Meta): Promise<Settlement> {
    requireAmount(costMicro)
    const entryId = outcomeId(hold)
    if (hold.amountMicro === 0) return settlement(hold.accountId, 0, null)
    let amountMicro = hold.amountMicro
    return persist(clock, async (isRepeated) => {
      if (isRepeated) {
        const account = await accounts.get(hold.accountId)
        const state = account && stateOf(account, hold)
        if (!state) return settled(hold, entryId)
        amountMicro = state.amount
      }
      const write = closingOf({ ...hold, amountMicro }, costMicro, { meta, now: clock.now() })
      const isClosed = await accounts.update(hold.accountId, write.guard, write.change, write.append)
      return isClosed ? settlement(hold.accountId, write.capturedMicro, entryId) : undefined
    })
  }

  async function settled(hold: Hold, entryId: string): Promise<Settlement> {
    const entry = await entries.get(entryId)
    if (!entry) throw new Error(`Hold ${hold.rid}:${hold.attempt} is gone without an outcome`)
    return settlement(hold.accountId, -entry.delta, entryId)
  }

  async function settlement(accountId: string, chargedMicro: number, entryId: string | null): Promise<Settlement> {
    const account = await accounts.get(accountId)
    return { chargedMicro, availableMicro: account?.available ?? 0, heldMicro: account?.held ?? 0, entryId }
  }

  async function expireDue(nowMs = clock.now()): Promise<number> {
    let expired = 0
    const failures: unknown[] = []
    let after: { value: null; id: string } | undefined
    do {
      const page = await accounts.list({ where: { gte: { holdCount: 1 } }, limit: PAGE, ...(after && { after }) })
      const due = page.flatMap((account) => dueHolds(account, nowMs))
      // One account that cannot be swept must not keep the money of the others.
      for (const result of await Promise.allSettled(due.map((hold) => expire(hold, nowMs)))) {
        if (result.status === 'rejected') failures.push(result.reason)
        else if (result.value) expired++
      }
      const last = page.length === PAGE ? page.at(-1) : undefined
      after = last && { value: null, id: last.id }
    } while (after)
    if (failures.length > 0) throw failures[0]
    return expired
  }

  async function expire({ hold, state }: { hold: Hold; state: HoldState }, nowMs: number): Promise<boolean> {
    const begun = await entries.get(reservationId(hold))
    const meta = { ...begun?.meta, ending: 'expired' }
    const write = closingOf(hold, state.used, { meta, now: nowMs, isExpiry: true })
    return accounts.update(hold.accountId, write.guard, write.change, write.append)
  }

  return {
    reserve,
    free,
    extend,
    heartbeat,
    settle: (hold, costMicro, meta = {}) => close(hold, costMicro, meta),
    void: (hold, meta = {}) => close(hold, 0, meta),
    expireDue
  }
}

function issue(hold: Omit<Hold, typeof issued>): Hold {
  return { ...hold, [issued]: true }
}

function dueHolds(account: AccountRow, nowMs: number): { hold: Hold; state: HoldState }[] {
  return Object.entries(account.holds)
    .filter(([, state]) => state.expiresAt <= nowMs)
    .map(([rid, state]) => ({
      state,
      hold: issue({
        rid,
        accountId: account.id,
        attempt: state.attempt,
        chatflowId: state.chatflowId,
        amountMicro: state.amount,
        limits: state.limits ?? []
      })
    }))
}

function stateOf(account: AccountRow, hold: Hold): HoldState | undefined {
  const state = account.holds[hold.rid]
  return state?.attempt === hold.attempt ? state : undefined
}

function member(hold: Hold, name: keyof HoldState): string {
  return `holds.${hold.rid}.${name}`
}

function each(limits: readonly string[], amount: number): Record<string, number> {
  return Object.fromEntries(limits.map((counter) => [`limits.${counter}`, amount]))
}

function requireAmount(micro: number): void {
  if (!Number.isSafeInteger(micro) || micro < 0) throw new Error(`Not an amount of micro-credits: ${micro}`)
}
