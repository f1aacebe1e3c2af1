import type { Measured } from './suites/suite.ts'

/** What every candidate showed, round by round, by its name. */
export type Rounds = ReadonlyMap<string, readonly Measured[]>

/** The values of a candidate, one per round; none if the metric does not apply to it. */
export function valuesOf(rounds: Rounds, name: string, key: string): number[] {
  return (rounds.get(name) ?? []).flatMap((measured) => measured[key] ?? [])
}

/** Shares of another candidate's values. Round by round: what slowed down the whole machine for a while slowed down both. */
export function ratiosOf(own: readonly number[], others: readonly number[]): number[] {
  return pairwise(own, others, (value, other) => value / other)
}

/** What is left without another candidate's values, round by round. */
export function differencesOf(own: readonly number[], others: readonly number[]): number[] {
  return pairwise(own, others, (value, other) => value - other)
}

function pairwise(
  own: readonly number[],
  others: readonly number[],
  combine: (value: number, other: number) => number
): number[] {
  return own.flatMap((value, round) => {
    const other = others[round]
    return other === undefined ? [] : combine(value, other)
  })
}
