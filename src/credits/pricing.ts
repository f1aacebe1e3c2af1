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
  /** Of the tokens that models write, where it differs. */
  readonly per1kOutputMicro?: number
  readonly floorMicro: number
  readonly ceilingMicro: number
}

export type Price = FlatPrice | MeteredPrice

/** Tokens of a run as its flow reported them; a member is absent where nothing was said of it. */
export interface Tokens {
  readonly input?: number
  readonly output?: number
  readonly total: number
  /** What the flow says its models cost, in their currency. */
  readonly modelCost?: number
}

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
  // A floor of 0 does not make it free: without something held there is nothing to extend.
  return Math.max(price.floorMicro, Math.min(price.ceilingMicro, expected)) || price.per1kTokensMicro
}

/**
 * The cost of these tokens, rounded up to a whole micro-credit. Where output has a price of its own, what a flow counts
 * beyond its input is output; a sum alone is charged at the lower of the two prices.
 */
export function costOfTokens({ per1kTokensMicro, per1kOutputMicro }: MeteredPrice, tokens: Tokens): number {
  const { input, output } = split(tokens)
  const outputMicro = per1kOutputMicro ?? per1kTokensMicro
  if (input === undefined) return thousandths([[output, Math.min(per1kTokensMicro, outputMicro)]])
  return thousandths([
    [input, per1kTokensMicro],
    [output, outputMicro]
  ])
}

/** Input and output that make up the total; input is undefined if nobody told them apart. */
function split({ input, output, total }: Tokens): { input: number | undefined; output: number } {
  if (input === undefined && output === undefined) return { input, output: total }
  const read = Math.min(total, input ?? total - Math.min(total, output ?? 0))
  return { input: read, output: total - read }
}

function thousandths(parts: [tokens: number, perThousandMicro: number][]): number {
  // BigInt: tokens times price may leave the safe integers although the quotient does not.
  const sum = parts.reduce((all, [tokens, micro]) => all + BigInt(Math.ceil(tokens)) * BigInt(micro), 0n)
  return Number((sum + 999n) / 1000n)
}

function percentile95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? 0
}
