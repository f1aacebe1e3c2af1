import type { HoldState, LedgerEntryRow } from '../store/collections.ts'
import type { Append, Change, Guard } from '../store/port.ts'

/** What an entry tells beyond its amounts. */
export type Meta = LedgerEntryRow['meta']

/** One guarded write on an account with the entries that appear with it. */
export interface AccountWrite {
  guard: Guard
  change: Change
  append: Append[]
}

export interface HeldAmount {
  readonly rid: string
  readonly attempt: string
  readonly accountId: string
  readonly chatflowId: string
  /** 0: a free run, without hold and entry. */
  readonly amountMicro: number
  readonly limits: readonly string[]
}

/** Id of the entry that an attempt begins with. */
export function reservationId({ rid, attempt }: { readonly rid: string; readonly attempt: string }): string {
  return `${rid}:${attempt}:R`
}

/** Id of the one entry that says how an attempt came out. */
export function outcomeId({ rid, attempt }: { readonly rid: string; readonly attempt: string }): string {
  return `${rid}:${attempt}:T`
}

/** The write that sets an amount aside. */
export function reservationOf(
  held: HeldAmount,
  at: { maxHolds: number; meta: Meta; now: number; leaseMs: number }
): AccountWrite {
  const { rid, attempt, amountMicro: amount, chatflowId, limits } = held
  const state: HoldState = {
    attempt,
    amount,
    used: 0,
    extensions: 0,
    expiresAt: at.now + at.leaseMs,
    chatflowId,
    ...(limits.length > 0 && { limits: [...limits] })
  }
  return {
    guard: {
      equal: { status: 'active' },
      gte: { available: amount, ...counters(limits, amount) },
      lt: { holdCount: at.maxHolds },
      exists: { [`holds.${rid}`]: false }
    },
    change: {
      inc: { available: -amount, held: amount, holdCount: 1, ...counters(limits, -amount) },
      set: { [`holds.${rid}`]: state, updatedAt: at.now }
    },
    append: [entry(held, { id: reservationId(held), kind: 'hold', delta: 0, at: at.now, meta: at.meta })]
  }
}

/** How a hold ends. */
export interface Closing {
  meta: Meta
  now: number
  isExpiry?: boolean
  /** Counters of the hold that the account has no more: they stay gone. */
  gone?: readonly string[]
}

/** The write that ends a hold: what was captured leaves the account, the rest becomes available again. */
export function closingOf(
  held: HeldAmount,
  costMicro: number,
  { meta, now, isExpiry = false, gone = [] }: Closing
): AccountWrite & { capturedMicro: number } {
  const { rid, attempt, amountMicro: amount } = held
  const limits = held.limits.filter((counter) => !gone.includes(counter))
  const capturedMicro = Math.min(costMicro, amount)
  const rest = amount - capturedMicro
  const uncoveredMicro = costMicro - capturedMicro
  return {
    capturedMicro,
    guard: {
      equal: {
        [`holds.${rid}.attempt`]: attempt,
        [`holds.${rid}.amount`]: amount,
        // One that was long under way and no longer renews the lease still says what was used.
        ...(isExpiry && { [`holds.${rid}.used`]: costMicro })
      },
      // A heartbeat that came after the sweeper's look keeps its hold alive.
      ...(isExpiry && { lt: { [`holds.${rid}.expiresAt`]: now + 1 } }),
      ...(held.limits.length > 0 && { exists: { ...counters(limits, true), ...counters(gone, false) } })
    },
    change: {
      inc: { held: -amount, available: rest, holdCount: -1, ...counters(limits, rest) },
      unset: [`holds.${rid}`],
      set: { updatedAt: now }
    },
    append: [
      entry(held, {
        id: outcomeId(held),
        kind: capturedMicro > 0 ? 'charge' : 'release',
        delta: capturedMicro === 0 ? 0 : -capturedMicro,
        at: now,
        meta: { ...meta, ...(uncoveredMicro > 0 && { uncoveredMicro }) }
      })
    ]
  }
}

function entry(held: HeldAmount, own: Pick<LedgerEntryRow, 'id' | 'kind' | 'delta' | 'at' | 'meta'>): Append {
  const document: LedgerEntryRow = {
    ...own,
    accountId: held.accountId,
    isPosting: own.delta !== 0,
    requestId: held.rid,
    attempt: held.attempt,
    meta: { ...own.meta, chatflowId: held.chatflowId, amountMicro: held.amountMicro }
  }
  return { collection: 'ledger_entries', document }
}

/** The same value for each of these counters, by its path in the account. */
export function counters<V>(limits: readonly string[], value: V): Record<string, V> {
  return Object.fromEntries(limits.map((counter) => [`limits.${counter}`, value]))
}
