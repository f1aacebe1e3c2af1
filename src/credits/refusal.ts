import { AppError } from '../errors.ts'
import type { AccountRow } from '../store/collections.ts'
import { toCredits } from './pricing.ts'

/** Seconds until a run in flight may have given its hold back. */
const HELD_RETRY_SECONDS = 5
const LIMIT_RETRY_SECONDS = 1

/** Of an account: what it has, and what has been taken of it. */
type Means = Pick<AccountRow, 'status' | 'available' | 'held' | 'holdCount' | 'limits'>

export interface Demand {
  amountMicro: number
  /** Counters of the account that must cover the amount too. */
  limits: readonly string[]
  maxHolds: number
}

/** Why this account cannot have the hold now, or undefined if it can. Lack of credits is told before lack of room. */
export function refusalOf(account: Means, { amountMicro, limits, maxHolds }: Demand): AppError | undefined {
  if (account.status === 'frozen') return new AppError('account_frozen')
  if (account.available < amountMicro) {
    const comesBack = account.available + account.held >= amountMicro
    return comesBack
      ? insufficient(account, amountMicro, 'held_by_inflight')
      : insufficient(account, amountMicro, 'insufficient_credits')
  }
  const spent = limits.find((counter) => (account.limits[counter] ?? 0) < amountMicro)
  if (spent !== undefined) return exhausted(account, amountMicro, spent)
  if (account.holdCount >= maxHolds)
    return new AppError('too_many_predictions', { retryAfterSeconds: LIMIT_RETRY_SECONDS })
  return undefined
}

/** Whether it is the balance itself that does not suffice, and not a part of it that was set aside for a key. */
export function isOfBalance({ code, params }: AppError): boolean {
  return code === 'insufficient_credits' && params.extra?.['held'] !== undefined
}

/** Of the counter only: who has a key with a budget need not know what its owner has. */
function exhausted({ limits }: Means, neededMicro: number, counter: string): AppError {
  const [whose, reason] = counter.startsWith('flow')
    ? ['chatflow', 'flow_budget_exhausted']
    : ['key', 'key_budget_exhausted']
  const [needed, available] = [toCredits(neededMicro), toCredits(limits[counter] ?? 0)]
  return new AppError('insufficient_credits', {
    detail: `This prediction needs ${countOf(needed)}; ${available} of the budget of this ${whose} ${available === 1 ? 'is' : 'are'} left.`,
    extra: { available, needed, reason }
  })
}

function countOf(credits: number): string {
  return `${credits} ${credits === 1 ? 'credit' : 'credits'}`
}

function insufficient({ available, held }: Means, neededMicro: number, reason: string): AppError {
  const needed = toCredits(neededMicro)
  const left = toCredits(available)
  return new AppError('insufficient_credits', {
    detail: `This prediction needs ${countOf(needed)}; ${left} ${left === 1 ? 'is' : 'are'} available.`,
    extra: { available: left, held: toCredits(held), needed, reason },
    ...(reason === 'held_by_inflight' && { retryAfterSeconds: HELD_RETRY_SECONDS })
  })
}
