import * as fc from 'fast-check'
import type { Test } from 'tap'
import { type Scenario, type ScenarioSize, scenarios } from './hostile-scenario.ts'
import type { Counts } from './hostile-schedule.ts'

export interface PropertyOptions {
  size: ScenarioSize
  runs: number
  /** Ends after so long even if there were fewer runs. */
  limitMs: number
  play(scenario: Scenario): Promise<Counts>
}

/** A smaller failure is looked for so long. */
const SHRINK_MS = 60_000

/**
 * Plays random scenarios. A failure is made smaller, and printed with its seed and path: LEDGER_SEED and LEDGER_PATH repeat it.
 */
export async function requireProperty(t: Test, { size, runs, limitMs, play }: PropertyOptions): Promise<void> {
  const seen = { schedules: 0, steps: 0, lost: 0, late: 0, crashed: 0 }
  const seed = process.env['LEDGER_SEED']
  const path = process.env['LEDGER_PATH']
  let shrinkUntil = Number.POSITIVE_INFINITY
  await fc.assert(
    fc.asyncProperty(scenarios(size), async (scenario) => {
      if (Date.now() > shrinkUntil) return
      const { steps, lost, late, crashed } = await play(scenario).catch((error: unknown) => {
        shrinkUntil = Math.min(shrinkUntil, Date.now() + SHRINK_MS)
        throw error
      })
      seen.schedules++
      seen.steps += steps
      seen.lost += lost
      seen.late += late
      seen.crashed += crashed
    }),
    {
      numRuns: runs,
      interruptAfterTimeLimit: limitMs,
      ...(seed !== undefined && { seed: Number(seed) }),
      ...(path !== undefined && { path })
    }
  )
  t.comment(seen)
  if (path === undefined) t.ok(seen.crashed > 0 && seen.late > 0 && seen.lost > 0, 'the schedules were hostile')
  else t.pass('the schedule of this path')
}
