import type { Candidate, CandidateName } from './candidates.ts'
import type { Rounds } from './rounds.ts'
import { median } from './statistics.ts'
import type { Metric, Suite } from './suites/suite.ts'

/** A Markdown table: one row per candidate, the median of the rounds and, in brackets, the smallest and the largest. */
export function tableOf(suite: Suite, candidates: readonly Candidate[], rounds: Rounds): string {
  const head = ['', ...suite.metrics.map(({ title }) => title)]
  const body = candidates
    .filter(({ name }) => rounds.has(name))
    .map(({ name, title }) => [title, ...suite.metrics.map((metric) => cellOf(metric, name, rounds))])
  return [head, head.map((_, column) => (column === 0 ? '---' : '---:')), ...body].map(rowOf).join('\n')
}

function rowOf(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function cellOf({ key, digits, ratioTo, lessThe }: Metric, name: CandidateName, rounds: Rounds): string {
  if (lessThe === name) return '-'
  const own = valuesOf(rounds, name, key)
  if (own.length === 0) return '-'
  const values = lessThe === undefined ? own : pairwise(own, valuesOf(rounds, lessThe, key), (a, b) => a - b)
  const shown = (value: number): string => value.toFixed(digits)
  const text = `${shown(median(values))} (${shown(Math.min(...values))} to ${shown(Math.max(...values))})`
  if (ratioTo === undefined) return text
  const ratios = pairwise(own, valuesOf(rounds, ratioTo, key), (a, b) => a / b)
  return `${text}, **× ${median(ratios).toFixed(2)}**`
}

function valuesOf(rounds: Rounds, name: CandidateName, key: string): number[] {
  return (rounds.get(name) ?? []).flatMap((measured) => measured[key] ?? [])
}

/** Round by round: what slowed down the whole machine for a while slowed down both. */
function pairwise(own: number[], others: number[], combine: (own: number, other: number) => number): number[] {
  return own.flatMap((value, round) => {
    const other = others[round]
    return other === undefined ? [] : combine(value, other)
  })
}
