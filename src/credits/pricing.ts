/** One credit in micro-credits, the unit of everything inside. */
export const MICRO_PER_CREDIT = 1_000_000

export interface FlatPrice {
  readonly kind: 'flat'
  readonly amountMicro: number
}

/** Paid by usage; floor and ceiling bound the hold, not the cost. */
export interface MeteredPrice {
  readonly kind: 'metered'
  readonly per1kTokensMicro: number
  readonly floorMicro: number
  readonly ceilingMicro: number
}

export type Price = FlatPrice | MeteredPrice

/**
 * Decimal credits as micro-credits, exactly.
 * @throws RangeError for more than six decimals and for amounts that are not safe integers of micro-credits
 */
export function toMicro(credits: number): number {
  const micro = Math.round(credits * MICRO_PER_CREDIT)
  // Dividing two exact integers gives the double nearest to the decimal, which is what parsing that decimal gives.
  if (!Number.isSafeInteger(micro) || micro / MICRO_PER_CREDIT !== credits) {
    throw new RangeError(`Not an amount of credits with at most six decimals: ${credits}`)
  }
  return micro === 0 ? 0 : micro
}

/**
 * Whole credits as micro-credits, for prices where an accounting service deals in no others.
 * @throws RangeError for decimals
 */
export function toWholeMicro(credits: number): number {
  if (!Number.isInteger(credits)) throw new RangeError(`Not an amount of whole credits: ${credits}`)
  return toMicro(credits)
}

/** Micro-credits as the API shows them: a number with at most six decimals. */
export function toCredits(micro: number): number {
  return micro / MICRO_PER_CREDIT
}

/**
 * What to hold before a run: the flat price, or for a metered one the 95th percentile of its past costs and a fifth more,
 * between floor and ceiling. Without a past it is the floor, which the run extends when it needs more.
 */
export function sizeOfHold(price: Price, pastCostsMicro: readonly number[]): number {
  if (price.kind === 'flat') return price.amountMicro
  const expected = Math.ceil((percentile95(pastCostsMicro) * 6) / 5)
  return Math.max(price.floorMicro, Math.min(price.ceilingMicro, expected))
}

/** The cost of this many tokens, rounded up to a whole micro-credit. */
export function costOfTokens(price: MeteredPrice, tokens: number): number {
  // BigInt: tokens times price may leave the safe integers although the quotient does not.
  return Number((BigInt(Math.ceil(tokens)) * BigInt(price.per1kTokensMicro) + 999n) / 1000n)
}

function percentile95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? 0
}
