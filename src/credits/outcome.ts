import { costOfTokens } from './pricing.ts'
import type { Price, Tokens } from './pricing.ts'

/** How a prediction ended, judged by its events. */
export type Ending =
  | 'refused'
  | 'failed_before_output'
  | 'failed_after_output'
  | 'completed'
  | 'closed_without_end'
  | 'stopped'
  | 'abandoned'
  | 'idle_timeout'
  | 'deadline'
  | 'credits_exhausted'
  | 'drained'

export interface Facts {
  /** A token, an artifact or a tool event with content was delivered. */
  readonly hasOutput: boolean
  /** Used so far by the run's own count; for a flat price all of it or nothing. */
  readonly usedMicro: number
  /** Tokens as reported by the flow; absent when it reported none. */
  readonly tokens?: Tokens | undefined
  readonly price: Price
}

export type Money =
  | { readonly action: 'void' }
  | { readonly action: 'settle'; readonly costMicro: number; readonly isEstimated: boolean }

type Rule = 'nothing' | 'used' | 'price'

const RULES: Readonly<Record<Ending, Rule>> = {
  refused: 'nothing',
  failed_before_output: 'nothing',
  failed_after_output: 'used',
  completed: 'price',
  closed_without_end: 'used',
  stopped: 'used',
  abandoned: 'used',
  idle_timeout: 'used',
  deadline: 'used',
  credits_exhausted: 'used',
  drained: 'used'
}

/**
 * What becomes of the hold of a run that ended so. Nothing delivered costs nothing, however it ended;
 * a metered run whose flow reported no tokens is settled by the gateway's own count and called estimated.
 */
export function decideMoney(ending: Ending, facts: Facts): Money {
  const rule = RULES[ending]
  if (rule === 'nothing' || !facts.hasOutput) return { action: 'void' }
  const { price, tokens, usedMicro } = facts
  if (price.kind === 'flat') return settle(rule === 'price' ? price.amountMicro : usedMicro, false)
  return tokens === undefined ? settle(usedMicro, true) : settle(costOfTokens(price, tokens), false)
}

function settle(costMicro: number, isEstimated: boolean): Money {
  return costMicro === 0 ? { action: 'void' } : { action: 'settle', costMicro, isEstimated }
}
