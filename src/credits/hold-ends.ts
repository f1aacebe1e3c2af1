import type { Clock } from '../clock.ts'
import { pagesOf } from '../store/collect.ts'
import type { HoldState, LedgerEntryRow } from '../store/collections.ts'
import type { Collection, Document } from '../store/port.ts'
import { type Hold, issue, requireAmount } from './hold.ts'
import { type Closing, type closingOf, type HeldAmount, type Meta, outcomeId, reservationId } from './hold-writes.ts'
import { persist } from './persist.ts'

export interface Settlement {
  chargedMicro: number
  /** Of the account now. */
  availableMicro: number
  heldMicro: number
  /** Null for a free run. */
  entryId: string | null
}

/** What an account has in every book. */
export interface HoldingRow extends Document {
  held: number
  holdCount: number
  holds: Record<string, HoldState>
  limits?: Record<string, number>
}

/** Where holds are written down: the ledger, or the books in front of an accounting service. */
export interface HoldBook<Row extends HoldingRow> {
  accounts: Collection<Row>
  entries: Collection<LedgerEntryRow>
  closingOf: typeof closingOf
  /** What can still be spent, as far as is known here. */
  availableOf(account: Row): number
}

/** What becomes of holds, however they began. */
export interface HoldEnds {
  /** Renews the lease and records what was used; never lowers either. False if the hold is gone. */
  heartbeat(hold: Hold, usedMicro: number): Promise<boolean>
  /** Charges the cost, at most what is held, and gives the rest back. Repeating it answers the first settlement. */
  settle(hold: Hold, costMicro: number, meta?: Meta): Promise<Settlement>
  /** Gives all of the hold back; as idempotent as settle. */
  void(hold: Hold, meta?: Meta): Promise<Settlement>
  /** Charges what the last heartbeat recorded on every hold whose lease has run out; answers how many. */
  expireDue(nowMs?: number): Promise<number>
}

export interface HoldEndsOptions<Row extends HoldingRow> {
  book: HoldBook<Row>
  clock: Clock
  leaseMs: number
}

const PAGE = 200

/** The second half of the two phases, in this book. */
export function createHoldEnds<Row extends HoldingRow>({ book, clock, leaseMs }: HoldEndsOptions<Row>): HoldEnds {
  const { accounts, entries } = book

  async function heartbeat(hold: Hold, usedMicro: number): Promise<boolean> {
    requireAmount(usedMicro)
    if (hold.amountMicro === 0) return true
    // The larger value wins on both: a heartbeat that lands late takes nothing back.
    return accounts.update(
      hold.accountId,
      { key: hold.rid, equal: { 'holds.*.attempt': hold.attempt } },
      { key: hold.rid, max: { 'holds.*.used': usedMicro, 'holds.*.expiresAt': clock.now() + leaseMs } }
    )
  }

  function close(hold: Hold, costMicro: number, meta: Meta): Promise<Settlement> {
    return persist(clock, (isRepeated) => tryToClose(hold, costMicro, meta, isRepeated))
  }

  async function tryToClose(
    hold: Hold,
    costMicro: number,
    meta: Meta,
    isRepeated: boolean
  ): Promise<Settlement | undefined> {
    requireAmount(costMicro)
    if (hold.amountMicro === 0) return settlement(await accounts.get(hold.accountId), 0, null)
    const closing: Closing = { meta, now: clock.now() }
    let held: HeldAmount = hold
    if (isRepeated) {
      const account = await accounts.get(hold.accountId)
      const state = account && stateOf(account, hold)
      if (!state) return await settled(hold)
      held = { ...hold, amountMicro: state.amount }
      closing.gone = goneOf(account, hold)
    }
    const { guard, change, append, capturedMicro } = book.closingOf(held, costMicro, closing)
    const account = await accounts.updated(hold.accountId, guard, change, append)
    return account && settlement(account, capturedMicro, outcomeId(hold))
  }

  async function settled(hold: Hold): Promise<Settlement> {
    const entryId = outcomeId(hold)
    const entry = await entries.get(entryId)
    if (!entry) throw new Error(`Hold ${hold.rid}:${hold.attempt} is gone without an outcome`)
    return settlement(await accounts.get(hold.accountId), -entry.delta, entryId)
  }

  function settlement(account: Row | undefined, chargedMicro: number, entryId: string | null): Settlement {
    const availableMicro = account ? book.availableOf(account) : 0
    return { chargedMicro, availableMicro, heldMicro: account?.held ?? 0, entryId }
  }

  async function expireDue(nowMs = clock.now()): Promise<number> {
    let expired = 0
    const failures: unknown[] = []
    for await (const page of pagesOf(accounts, { where: { gte: { holdCount: 1 } }, limit: PAGE })) {
      const due = page.flatMap((account) => dueHolds(account, nowMs))
      // One account that cannot be swept must not keep the money of the others.
      for (const result of await Promise.allSettled(due.map((hold) => expire(hold, nowMs)))) {
        if (result.status === 'rejected') failures.push(result.reason)
        else if (result.value) expired++
      }
    }
    if (failures.length > 0) throw failures[0]
    return expired
  }

  async function expire({ hold, state, gone }: DueHold, nowMs: number): Promise<boolean> {
    const begun = await entries.get(reservationId(hold))
    const meta = { ...begun?.meta, ending: 'expired' }
    const write = book.closingOf(hold, state.used, { meta, now: nowMs, isExpiry: true, gone })
    return accounts.update(hold.accountId, write.guard, write.change, write.append)
  }

  return {
    heartbeat,
    settle: (hold, costMicro, meta = {}) => close(hold, costMicro, meta),
    void: (hold, meta = {}) => close(hold, 0, meta),
    expireDue
  }
}

/** The account's record of this very attempt, if it is still there. */
export function stateOf(account: HoldingRow, hold: Hold): HoldState | undefined {
  const state = account.holds[hold.rid]
  return state?.attempt === hold.attempt ? state : undefined
}

/** A hold whose lease has run out, as its account has it. */
interface DueHold {
  hold: Hold
  state: HoldState
  gone: string[]
}

function dueHolds(account: HoldingRow, nowMs: number): DueHold[] {
  return Object.entries(account.holds)
    .filter(([, state]) => state.expiresAt <= nowMs)
    .map(([rid, state]) => {
      const { attempt, chatflowId, amount: amountMicro, limits = [] } = state
      const hold = issue({ rid, accountId: account.id, attempt, chatflowId, amountMicro, limits })
      return { hold, state, gone: goneOf(account, hold) }
    })
}

/** Budgets of the hold that have ended since it began. */
function goneOf({ limits = {} }: HoldingRow, hold: Hold): string[] {
  return hold.limits.filter((counter) => limits[counter] === undefined)
}
