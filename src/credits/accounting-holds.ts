import { type Clock, pause } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { AccountingAccountRow } from '../store/accounting-rows.ts'
import type { HoldState, LedgerEntryRow } from '../store/collections.ts'
import type { Append, Store } from '../store/port.ts'
import type { Balance, Customer } from './accounting-client.ts'
import { availableOf, chargeOf, reservationWithin } from './accounting-writes.ts'
import { type Hold, issue, requireAmount } from './hold.ts'
import { createHoldEnds, type HoldBook, type HoldEnds, stateOf } from './hold-ends.ts'
import { withCounters } from './hold-writes.ts'
import type { Holds, Reservation, RunOf } from './holds.ts'
import { persist } from './persist.ts'
import { type Demand, isOfBalance, refusalOf } from './refusal.ts'

export interface AccountingHolds extends HoldEnds {
  /** The holds of a request, which asks for the balance as this customer. */
  as(customer: Customer): Holds
  /** The account, made if need be; it says nothing of the balance. */
  open(accountId: string): Promise<AccountingAccountRow>
  /**
   * Frozen accounts start no predictions; what runs is settled. `append` appears with the change.
   * False if it was so already, or is no account.
   */
  setFrozen(accountId: string, isFrozen: boolean, append?: Append[]): Promise<boolean>
}

export interface AccountingHoldsOptions {
  store: Store
  clock: Clock
  ids: Ids
  maxHolds: number
  leaseMs: number
  /** @throws token_expired, accounting_unavailable */
  readBalance: (customer: Customer) => Promise<Balance>
}

interface Reading {
  /** What may be committed in all. */
  ceilingMicro: number
  isSufficient: boolean
}

/** Refusals that may be those of a moment are looked at so often, so far apart. */
const LOOKS = 5
const LOOK_AGAIN_MS = 100

/** Holds in front of a balance that another service keeps (ADR 14). */
export function createAccountingHolds(options: AccountingHoldsOptions): AccountingHolds {
  const { store, clock, ids, maxHolds, leaseMs, readBalance } = options
  const accounts = store.collection<AccountingAccountRow>('accounting_accounts')
  const entries = store.collection<LedgerEntryRow>('accounting_entries')
  const book: HoldBook<AccountingAccountRow> = { accounts, entries, closingOf: chargeOf, availableOf }
  const ends = createHoldEnds({ book, clock, leaseMs })

  async function open(accountId: string): Promise<AccountingAccountRow> {
    return persist(clock, async () => {
      const account = await accounts.get(accountId)
      if (!account) await accounts.insert(newAccount(accountId, clock.now()))
      return account
    })
  }

  async function accountOf(accountId: string): Promise<AccountingAccountRow> {
    const account = await accounts.get(accountId)
    if (!account) throw new AppError('user_not_found')
    return account
  }

  /** `cleared` is from before the balance is asked: that is what makes it safe. */
  async function read(customer: Customer, { cleared }: AccountingAccountRow): Promise<Reading> {
    const { micro, isSufficient } = await readBalance(customer)
    return { ceilingMicro: micro + cleared, isSufficient }
  }

  async function reserve(customer: Customer, reservation: Reservation): Promise<Hold> {
    const { rid, accountId, chatflowId, amountMicro, limits = [], meta = {} } = reservation
    requireAmount(amountMicro)
    if (amountMicro === 0) return free(reservation)
    const run = { rid, accountId, chatflowId, limits }
    let reading: Reading | undefined
    let looks = 1
    return persist(clock, async () => {
      const account = await accountOf(accountId)
      const landed = account.holds[rid]
      if (landed) return issue({ ...run, attempt: landed.attempt, amountMicro: landed.amount })
      requireActive(account)
      reading ??= await read(customer, account)
      const refusal = refusalWithin(reading, account, { amountMicro, limits, maxHolds })
      if (refusal) {
        const isWorth = isOfBalance(refusal) && covers(reading, account.cleared + amountMicro)
        if (!isWorth || looks++ === LOOKS || (await isStill(account))) throw refusal
        await pause(clock, LOOK_AGAIN_MS)
        reading = undefined
        return undefined
      }
      // A new attempt for each write: one whose answer was lost may land late, and nobody must take it for this one.
      const attempt = ids.run()
      const at = { maxHolds, meta, now: clock.now(), leaseMs }
      const write = reservationWithin(reading.ceilingMicro, { ...run, attempt, amountMicro }, at)
      const isHeld = await accounts.update(accountId, write.guard, write.change, write.append)
      return isHeld ? issue({ ...run, attempt, amountMicro }) : undefined
    })
  }

  /** A charge that is deducted there and not cleared here yet counts twice; so does one that was cleared meanwhile. */
  async function isStill({ id, cleared, unsettled }: AccountingAccountRow): Promise<boolean> {
    return unsettled === 0 && (await accountOf(id)).cleared === cleared
  }

  async function free({ rid, accountId, chatflowId }: RunOf): Promise<Hold> {
    const account = await accounts.get(accountId)
    if (account) requireActive(account)
    return issue({ rid, accountId, chatflowId, amountMicro: 0, attempt: ids.run(), limits: [] })
  }

  async function extend(customer: Customer, hold: Hold, addMicro: number): Promise<Hold | undefined> {
    requireAmount(addMicro)
    if (hold.amountMicro === 0) return undefined
    let before: HoldState | undefined
    const { extended } = await persist(clock, async () => {
      const account = await accountOf(hold.accountId)
      const state = stateOf(account, hold)
      if (!state) return { extended: undefined }
      // Only one write with this extension number can land, and only the owner of the hold writes it.
      if (before && state.extensions > before.extensions)
        return { extended: issue({ ...hold, amountMicro: state.amount }) }
      const reading = await read(customer, account).catch(noneWithout)
      const spent = hold.limits.some((counter) => (account.limits?.[counter] ?? 0) < addMicro)
      if (spent || !reading || !covers(reading, account.committed + addMicro)) return { extended: undefined }
      const { ceilingMicro } = reading
      before = state
      const isExtended = await accounts.update(
        hold.accountId,
        {
          key: hold.rid,
          equal: { 'holds.*.attempt': hold.attempt, 'holds.*.extensions': state.extensions },
          gte: withCounters({}, hold.limits, addMicro),
          lt: { committed: ceilingMicro - addMicro + 1 }
        },
        {
          key: hold.rid,
          inc: withCounters(
            { held: addMicro, committed: addMicro, 'holds.*.amount': addMicro, 'holds.*.extensions': 1 },
            hold.limits,
            -addMicro
          ),
          max: { 'holds.*.expiresAt': clock.now() + leaseMs },
          set: { updatedAt: clock.now(), ceiling: ceilingMicro }
        }
      )
      return isExtended ? { extended: issue({ ...hold, amountMicro: state.amount + addMicro }) } : undefined
    })
    return extended
  }

  return {
    ...ends,
    open,
    as: (customer) => ({
      ...ends,
      free,
      reserve: (reservation) => reserve(customer, reservation),
      extend: (hold, addMicro) => extend(customer, hold, addMicro)
    }),
    setFrozen(accountId, isFrozen, append = []) {
      const [from, to] = isFrozen ? ['active', 'frozen'] : ['frozen', 'active']
      const change = { set: { status: to, updatedAt: clock.now() } }
      return accounts.update(accountId, { equal: { status: from } }, change, append)
    }
  }
}

function newAccount(id: string, now: number): AccountingAccountRow {
  const amounts = { held: 0, holdCount: 0, unsettled: 0, cleared: 0, committed: 0, ceiling: 0 }
  return { id, status: 'active', ...amounts, holds: {}, createdAt: now, updatedAt: now }
}

/** A balance that nobody tells extends nothing; the run goes on with what it holds. */
function noneWithout(error: unknown): undefined {
  if (error instanceof AppError && ['accounting_unavailable', 'token_expired'].includes(error.code)) return undefined
  throw error
}

function requireActive({ status }: AccountingAccountRow): void {
  if (status === 'frozen') throw new AppError('account_frozen')
}

function covers({ ceilingMicro, isSufficient }: Reading, committedMicro: number): boolean {
  return isSufficient && committedMicro <= ceilingMicro
}

/** Why the account cannot have the hold, told as the ledger tells it: charges on their way count as held. */
function refusalWithin(
  { ceilingMicro, isSufficient }: Reading,
  account: AccountingAccountRow,
  demand: Demand
): AppError | undefined {
  const { status, holdCount, committed, cleared, limits = {} } = account
  const available = isSufficient ? Math.max(0, ceilingMicro - committed) : 0
  const held = isSufficient ? committed - cleared : 0
  return refusalOf({ status, available, held, holdCount, limits }, demand)
}
