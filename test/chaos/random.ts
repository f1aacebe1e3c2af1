/** Choices that a seed decides. */
export interface Random {
  /** From 0 up to, but not including, 1. */
  next(): number
  /** A whole number from 0 up to, but not including, `end`. */
  below(end: number): number
  /** True with this probability. */
  chance(probability: number): boolean
  /** One of the values; the weights say how often. */
  pick<T>(weighted: readonly (readonly [weight: number, value: T])[]): T
  /** A time around the mean, as between independent events, at most five times as long. */
  pauseMs(meanMs: number): number
  /** Choices of its own, which do not depend on how many were made here. */
  fork(name: string): Random
}

/** Choices that are the same for the same seed (mulberry32). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0

  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  return {
    next,
    below: (end) => Math.floor(next() * end),
    chance: (probability) => next() < probability,
    pick(weighted) {
      let left = next() * weighted.reduce((sum, [weight]) => sum + weight, 0)
      const found = weighted.find(([weight]) => (left -= weight) < 0) ?? weighted.at(-1)
      if (!found) throw new Error('Nothing to pick from')
      return found[1]
    },
    pauseMs: (meanMs) => Math.min(-Math.log(1 - next()) * meanMs, meanMs * 5),
    fork(name) {
      let hash = seed ^ 0x9e3779b9
      for (const character of name) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193)
      return createRandom(hash)
    }
  }
}
