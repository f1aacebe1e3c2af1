import { differencesOf, ratiosOf, type Rounds, valuesOf } from './comparison.ts'
import { median } from './statistics.ts'
import { markdownTable, spread } from './table.ts'

/** What a metric of a candidate shall be: by itself, as a share of another's, or beside another's. */
export interface Goal {
  what: string
  metric: string
  of: string
  /** The candidate whose share it is. */
  to?: string
  /** The candidate whose value is taken off first. */
  less?: string
  atMost?: number
  atLeast?: number
  /** The largest value counts and not the median: one is too many. */
  isWorst?: true
  /** Behind a value; shares have none. */
  unit?: string
  digits: number
}

/** A Markdown table of the goals of several suites: target, reached, verdict. */
export function goalTable(suites: readonly { goals: readonly Goal[]; rounds: Rounds }[]): string {
  const body = suites.flatMap(({ goals, rounds }) =>
    goals.map((goal) => [goal.what, limitOf(goal), ...judged(goal, reachedOf(goal, rounds))])
  )
  return markdownTable(['', 'target', 'reached', 'verdict'], body, 4)
}

/** The values that count, one per round; of a share of two differences one for all rounds, as each may be near nothing. */
export function reachedOf({ metric, of, to, less }: Goal, rounds: Rounds): number[] {
  const own = valuesOf(rounds, of, metric)
  const others = to === undefined ? [] : valuesOf(rounds, to, metric)
  if (less === undefined) return to === undefined ? own : ratiosOf(own, others)
  const least = valuesOf(rounds, less, metric)
  const added = differencesOf(own, least)
  if (to === undefined) return added
  const addedByOther = median(differencesOf(others, least))
  return added.length > 0 && addedByOther > 0 ? [median(added) / addedByOther] : []
}

function judged(goal: Goal, values: readonly number[]): [reached: string, verdict: string] {
  if (values.length === 0) return ['-', 'not measured']
  return [
    shown(goal, spread(values, goal.digits)),
    verdictOf(goal, goal.isWorst ? Math.max(...values) : median(values))
  ]
}

function limitOf(goal: Goal): string {
  const { atMost, atLeast, digits } = goal
  const bounds = [
    atLeast === undefined ? [] : `≥ ${atLeast.toFixed(digits)}`,
    atMost === undefined ? [] : `≤ ${atMost.toFixed(digits)}`
  ]
  return shown(goal, bounds.flat().join(', '))
}

function shown({ to, unit = '' }: Goal, text: string): string {
  return to === undefined ? `${text}${unit}` : `× ${text}`
}

function verdictOf({ atMost = Number.POSITIVE_INFINITY, atLeast = 0 }: Goal, value: number): string {
  if (value > atMost) return tooMuch(value / atMost)
  return value < atLeast ? `missed: ${percent(1 - value / atLeast)} too little` : 'reached'
}

function tooMuch(times: number): string {
  if (!Number.isFinite(times)) return 'missed'
  return times < 2 ? `missed: ${percent(times - 1)} too much` : `missed: ${times.toFixed(1)} times as much`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`
}
