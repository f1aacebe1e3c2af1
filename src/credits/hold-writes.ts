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
  const expiresAt = at.now + at.leaseMs
  const state: HoldState = { attempt, amount, used: 0, extensions: 0, expiresAt, chatflowId }
  if (limits.length > 0) state.limits = [...limits]
  return {
    guard: {
      key: rid,
      equal: { status: 'active' },
      gte: withCounters({ available: amount }, limits, amount),
      lt: { holdCount: at.maxHolds },
      exists: { 'holds.*': false }
    },
    change: {
      key: rid,
      inc: withCounters({ available: -amount, held: amount, holdCount: 1 }, limits, -amount),
      set: { 'holds.*': state, updatedAt: at.now }
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
  const { rid: key, attempt, amountMicro: amount } = held
  const limits = gone.length === 0 ? held.limits : held.limits.filter((counter) => !gone.includes(counter))
  const capturedMicro = Math.min(costMicro, amount)
  const rest = amount - capturedMicro
  const uncoveredMicro = costMicro - capturedMicro
  const guard: Guard = { key, equal: { 'holds.*.attempt': attempt, 'holds.*.amount': amount } }
  if (isExpiry) {
    // One that was long under way and no longer renews the lease still says what was used.
    guard.equal = { ...guard.equal, 'holds.*.used': costMicro }
    // A heartbeat that came after the sweeper's look keeps its hold alive.
    guard.lt = { 'holds.*.expiresAt': now + 1 }
  }
  if (held.limits.length > 0) guard.exists = withCounters(withCounters({}, limits, true), gone, false)
  return {
    capturedMicro,
    guard,
    change: {
      key,
      inc: withCounters({ held: -amount, available: rest, holdCount: -1 }, limits, rest),
      unset: ['holds.*'],
      set: { updatedAt: now }
    },
    append: [
      entry(held, {
        id: outcomeId(held),
        kind: capturedMicro > 0 ? 'charge' : 'release',
        delta: capturedMicro === 0 ? 0 : -capturedMicro,
        at: now,
        meta: uncoveredMicro > 0 ? { ...meta, uncoveredMicro } : meta
      })
    ]
  }
}

function entry(
  { accountId, rid, attempt, chatflowId, amountMicro }: HeldAmount,
  { id, kind, delta, at, meta }: Pick<LedgerEntryRow, 'id' | 'kind' | 'delta' | 'at' | 'meta'>
): Append {
  const document: LedgerEntryRow = {
    id,
    kind,
    delta,
    at,
    meta: { ...meta, chatflowId, amountMicro },
    accountId,
    isPosting: delta !== 0,
    requestId: rid,
    attempt
  }
  return { collection: 'ledger_entries', document }
}

/** Adds the same value for each of these counters, by its path in the account. */
export function withCounters<V>(members: Record<string, V>, limits: readonly string[], value: V): Record<string, V> {
  for (const counter of limits) members[`limits.${counter}`] = value
  return members
}
