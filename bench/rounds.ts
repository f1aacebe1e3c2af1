import type { Candidate, Running } from './candidates.ts'
import type { Rounds } from './comparison.ts'
import type { Bench, Measured, Suite } from './suites/suite.ts'

/** Told on standard error while a suite runs. */
export type Say = (line: string) => void

/** The rounds of a suite; in each, all candidates take turns, each round beginning with another one. */
export async function runRounds(
  suite: Suite,
  candidates: readonly Candidate[],
  { bench, rounds, say }: { bench: Bench; rounds: number; say: Say }
): Promise<Rounds> {
  const results = new Map<string, Measured[]>(candidates.map(({ name }) => [name, []]))
  const lasting = new Map<string, Running>()
  try {
    if (!suite.isFresh)
      for (const candidate of candidates) {
        say(`${suite.title}: ${candidate.title} starts`)
        const running = await candidate.start()
        lasting.set(candidate.name, running)
        await suite.warmUp?.(bench, running, candidate)
      }
    for (let round = 0; round < rounds; round += 1)
      for (const [turn] of candidates.entries()) {
        const candidate = candidates[(turn + round) % candidates.length]
        if (!candidate) continue
        const measured = await measure(candidate, lasting.get(candidate.name))
        results.get(candidate.name)?.push(measured)
        say(`${suite.title}, round ${round + 1} of ${rounds}: ${candidate.title}${firstOf(suite, measured)}`)
      }
  } finally {
    for (const running of lasting.values()) await running.stop()
  }
  return results

  async function measure(candidate: Candidate, running: Running | undefined): Promise<Measured> {
    if (running) return suite.measure(bench, running, candidate)
    const fresh = await candidate.start()
    try {
      return await suite.measure(bench, fresh, candidate)
    } finally {
      await fresh.stop()
    }
  }
}

/** The first column, so that whoever watches sees at once when something is odd. */
function firstOf({ metrics: [first] }: Suite, measured: Measured): string {
  const value = first && measured[first.key]
  return value === undefined ? '' : ` (${first?.title}: ${value.toFixed(first?.digits)})`
}
