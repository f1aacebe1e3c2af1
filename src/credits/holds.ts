import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { AccountRow, HoldState, LedgerEntryRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import { type Hold, issue, requireAmount } from './hold.ts'
import { createHoldEnds, type HoldBook, type HoldEnds, stateOf } from './hold-ends.ts'
import { closingOf, type Meta, reservationOf, withCounters } from './hold-writes.ts'
import { persist } from './persist.ts'
import { refusalOf } from './refusal.ts'

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

export interface Holds extends HoldEnds {
  /** Sets the amount aside in one guarded write. @throws insufficient_credits, account_frozen, too_many_predictions */
  reserve(reservation: Reservation): Promise<Hold>
  /** The hold of a run that costs nothing. @throws account_frozen */
  free(run: RunOf): Promise<Hold>
  /** The hold with `addMicro` more, or undefined if it is gone or the account cannot cover it. */
  extend(hold: Hold, addMicro: number): Promise<Hold | undefined>
}

export interface HoldsOptions {
  store: Store
  clock: Clock
  ids: Ids
  /** Most holds of one account at once. */
  maxHolds: number
  leaseMs: number
}

const NO_LIMITS: readonly string[] = Object.freeze([])

/** The same holds, each of which must find room in these counters of its account too. */
export function within(holds: Holds, limits: readonly string[]): Holds {
  return { ...holds, reserve: (reservation) => holds.reserve({ ...reservation, limits }) }
}

/** Holds on accounts: two-phase charges that survive crashes, lost answers and writes that land late. */
export function createHolds({ store, clock, ids, maxHolds, leaseMs }: HoldsOptions): Holds {
  const accounts = store.collection<AccountRow>('accounts')
  const book: HoldBook<AccountRow> = {
    accounts,
    entries: store.collection<LedgerEntryRow>('ledger_entries'),
    closingOf,
    availableOf: ({ available }) => available
  }

  function reserve(reservation: Reservation): Promise<Hold> {
    if (reservation.amountMicro === 0) return free(reservation)
    return persist(clock, (isRepeated) => tryToReserve(reservation, isRepeated))
  }

  async function tryToReserve(reservation: Reservation, isRepeated: boolean): Promise<Hold | undefined> {
    const { rid, accountId, chatflowId, amountMicro, limits = NO_LIMITS, meta = {} } = reservation
    requireAmount(amountMicro)
    if (isRepeated) {
      const account = await accounts.get(accountId)
      if (!account) throw new AppError('user_not_found')
      const landed = account.holds[rid]
      if (landed)
        return issue({ rid, accountId, chatflowId, limits, attempt: landed.attempt, amountMicro: landed.amount })
      const refusal = refusalOf(account, { amountMicro, limits, maxHolds })
      if (refusal) throw refusal
    }
    // A new attempt for each write: one whose answer was lost may land late, and nobody must take it for this one.
    const hold = issue({ rid, accountId, chatflowId, limits, attempt: ids.run(), amountMicro })
    const { guard, change, append } = reservationOf(hold, { maxHolds, meta, now: clock.now(), leaseMs })
    return (await accounts.update(accountId, guard, change, append)) ? hold : undefined
  }

  async function free({ rid, accountId, chatflowId }: RunOf): Promise<Hold> {
    const account = await accounts.get(accountId)
    if (account?.status === 'frozen') throw new AppError('account_frozen')
    return issue({ rid, accountId, chatflowId, amountMicro: 0, attempt: ids.run(), limits: NO_LIMITS })
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
          key: hold.rid,
          equal: { 'holds.*.attempt': hold.attempt, 'holds.*.extensions': state.extensions },
          gte: withCounters({ available: addMicro }, hold.limits, addMicro)
        },
        {
          key: hold.rid,
          inc: withCounters(
            { available: -addMicro, held: addMicro, 'holds.*.amount': addMicro, 'holds.*.extensions': 1 },
            hold.limits,
            -addMicro
          ),
          max: { 'holds.*.expiresAt': clock.now() + leaseMs },
          set: { updatedAt: clock.now() }
        }
      )
      return isExtended ? { extended: issue({ ...hold, amountMicro: state.amount + addMicro }) } : undefined
    })
    return extended
  }

  return {
    reserve,
    free,
    extend,
    ...createHoldEnds({ clock, leaseMs, book })
  }
}
