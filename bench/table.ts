import { differencesOf, ratiosOf, type Rounds, valuesOf } from './comparison.ts'
import { median } from './statistics.ts'
import type { Metric } from './suites/suite.ts'

/** A Markdown table: one row per candidate, the median of the rounds and, in brackets, the smallest and the largest. */
export function tableOf(
  metrics: readonly Metric[],
  candidates: readonly { name: string; title: string }[],
  rounds: Rounds
): string {
  const head = ['', ...metrics.map(({ title }) => title)]
  const body = candidates
    .filter(({ name }) => rounds.has(name))
    .map(({ name, title }) => [title, ...metrics.map((metric) => cellOf(metric, name, rounds))])
  return markdownTable(head, body)
}

/** A table whose first column is text and whose others are figures, unless `left` columns are text. */
export function markdownTable(head: readonly string[], body: readonly (readonly string[])[], left = 1): string {
  return [head, head.map((_, column) => (column < left ? '---' : '---:')), ...body].map(rowOf).join('\n')
}

/** The middle of the values and, in brackets, the smallest and the largest. */
export function spread(values: readonly number[], digits: number): string {
  const shown = (value: number): string => value.toFixed(digits)
  const middle = shown(median(values))
  return values.length === 1 ? middle : `${middle} (${shown(Math.min(...values))} to ${shown(Math.max(...values))})`
}

function rowOf(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function cellOf({ key, digits, ratioTo, lessThe }: Metric, name: string, rounds: Rounds): string {
  if (lessThe === name) return '-'
  const own = valuesOf(rounds, name, key)
  if (own.length === 0) return '-'
  const values = lessThe === undefined ? own : differencesOf(own, valuesOf(rounds, lessThe, key))
  const text = spread(values, digits)
  const ratios = ratioTo === undefined ? [] : ratiosOf(own, valuesOf(rounds, ratioTo, key))
  return ratios.length === 0 ? text : `${text}, **× ${median(ratios).toFixed(2)}**`
}
