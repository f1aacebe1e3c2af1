import type { HeldAmount } from './hold-writes.ts'

const issued: unique symbol = Symbol('issued by the ledger')

/** Proof that a run is paid for, or free; only the ledger can make one, and a prediction cannot be opened without. */
export interface Hold extends HeldAmount {
  readonly [issued]: true
}

/** For the books alone: the hold behind an amount that has been written down, or of a run that is free. */
export function issue({ rid, attempt, accountId, chatflowId, amountMicro, limits }: HeldAmount): Hold {
  return { rid, attempt, accountId, chatflowId, amountMicro, limits, [issued]: true }
}

/** @throws Error for anything but a safe integer of at least 0 */
export function requireAmount(micro: number): void {
  if (!Number.isSafeInteger(micro) || micro < 0) throw new Error(`Not an amount of micro-credits: ${micro}`)
}
