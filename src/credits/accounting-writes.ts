import type { AccountingAccountRow, ChargeRow } from '../store/accounting-rows.ts'
import type { Append } from '../store/port.ts'
import { type AccountWrite, closingOf, type HeldAmount, type Meta, reservationOf, withCounters } from './hold-writes.ts'

const ENTRIES = 'accounting_entries'
const CHARGES = 'accounting_charges'

/** Id of the charge that an attempt ends with, and the idempotency key of all its tries. */
export function chargeId({ rid, attempt }: { readonly rid: string; readonly attempt: string }): string {
  return `${rid}-${attempt}`
}

/** Sum of what the account can still commit, by the last reading of its balance. */
export function availableOf({ ceiling, committed }: AccountingAccountRow): number {
  return Math.max(0, ceiling - committed)
}

/**
 * The write that sets an amount aside while all that is committed stays within `ceilingMicro`: a balance and the
 * `cleared` that was read before it (ADR 14).
 */
export function reservationWithin(
  ceilingMicro: number,
  held: HeldAmount,
  at: { maxHolds: number; meta: Meta; now: number; leaseMs: number }
): AccountWrite {
  const { amountMicro: amount, limits } = held
  const { guard, change, append } = reservationOf(held, at)
  return {
    guard: {
      ...guard,
      // It has no balance of its own to look at.
      gte: withCounters({}, limits, amount),
      lt: { ...guard.lt, committed: ceilingMicro - amount + 1 }
    },
    change: {
      ...change,
      inc: withCounters({ held: amount, committed: amount, holdCount: 1 }, limits, -amount),
      set: { ...change.set, ceiling: ceilingMicro }
    },
    append: inEntries(append)
  }
}

/** The write that ends a hold: what is captured goes into the outbox, with its charge, and the rest is free again. */
export const chargeOf: typeof closingOf = (held, costMicro, at) => {
  const closing = closingOf(held, costMicro, at)
  const { capturedMicro } = closing
  const { amountMicro: amount } = held
  const limits = held.limits.filter((counter) => !at.gone?.includes(counter))
  const isCharge = capturedMicro > 0
  return {
    ...closing,
    change: {
      ...closing.change,
      inc: withCounters(
        {
          held: -amount,
          committed: capturedMicro - amount,
          holdCount: -1,
          ...(isCharge && { unsettled: capturedMicro })
        },
        limits,
        amount - capturedMicro
      ),
      // Later than now if the outbox waits for its next try.
      ...(isCharge && { max: { sendAt: at.now } })
    },
    append: [...inEntries(closing.append), ...(isCharge ? [newCharge(held, capturedMicro, at)] : [])]
  }
}

function newCharge(held: HeldAmount, amount: number, { meta, now }: { meta: Meta; now: number }): Append {
  const document: ChargeRow = {
    id: chargeId(held),
    accountId: held.accountId,
    amount,
    state: 'pending',
    createdAt: now,
    runId: held.rid,
    chatflowId: held.chatflowId,
    sessionId: textOf(meta['sessionId']),
    messageId: textOf(meta['messageId']),
    isSent: false,
    isUncertain: false
  }
  return { collection: CHARGES, document }
}

function inEntries(append: Append[]): Append[] {
  return append.map(({ document }) => ({ collection: ENTRIES, document }))
}

function textOf(value: Meta[string] | undefined): string | null {
  return typeof value === 'string' ? value : null
}
