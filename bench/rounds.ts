import type { Candidate, CandidateName, Running } from './candidates.ts'
import type { Bench, Measured, Suite } from './suites/suite.ts'

/** What every candidate showed, round by round. */
export type Rounds = Map<CandidateName, Measured[]>

/** The rounds of a suite; in each, all candidates take turns, each round beginning with another one. */
export async function runRounds(
  suite: Suite,
  candidates: readonly Candidate[],
  bench: Bench,
  rounds: number
): Promise<Rounds> {
  const taking = candidates.filter(({ name }) => !suite.without.includes(name))
  const results: Rounds = new Map(taking.map(({ name }) => [name, []]))
  const lasting = new Map<CandidateName, Running>()
  try {
    if (!suite.isFresh)
      for (const candidate of taking) {
        const running = await candidate.start()
        lasting.set(candidate.name, running)
        await suite.warmUp?.(bench, running, candidate)
      }
    for (let round = 0; round < rounds; round += 1)
      for (const [turn] of taking.entries()) {
        const candidate = taking[(turn + round) % taking.length]
        if (!candidate) continue
        const measured = await measure(candidate, lasting.get(candidate.name))
        results.get(candidate.name)?.push(measured)
        process.stderr.write(`${suite.title}, round ${round + 1} of ${rounds}: ${candidate.title}\n`)
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
