import { setTimeout as pause } from 'node:timers/promises'
import type { Candidate, Running } from '../candidates.ts'
import type { PacedTask } from '../load/paced.ts'
import { requestsFor } from '../targets.ts'
import { type Bench, busyPercent, cpuDuring, loadDuring, type Measured, type Metric } from './suite.ts'

export const CONNECTIONS = 64
/** What is done after the last answer belongs to the requests, too. */
export const AFTER_MS = 300

/** What is asked of each candidate that answers in one piece. */
export interface AnswerPlan {
  amountOf(isQuick: boolean): number
  /** By default CONNECTIONS. */
  connections?: number
  paced: Omit<PacedTask, 'requests'>
}

/** The columns of what `measureAnswers` measures. */
export function answerMetrics(baseline: string): Metric[] {
  return [
    { key: 'cpu', title: 'CPU, µs per request', digits: 1, ratioTo: baseline },
    { key: 'rate', title: 'requests/s', digits: 0, ratioTo: baseline },
    { key: 'p50', title: 'p50, ms', digits: 2 },
    { key: 'p99', title: 'p99, ms', digits: 2 },
    { key: 'addedP50', title: 'added p50, ms', digits: 2, lessThe: 'direct' },
    { key: 'addedP99', title: 'added p99, ms', digits: 2, lessThe: 'direct' },
    { key: 'load', title: 'load, %', digits: 0 }
  ]
}

/** As many predictions as the candidate can, then some at a fixed rate. */
export async function measureAnswers(
  bench: Bench,
  { running, candidate, plan }: { running: Running; candidate: Candidate; plan: AnswerPlan }
): Promise<Measured> {
  const amount = plan.amountOf(bench.isQuick)
  const requests = answersOf(running, candidate, plan.connections)
  const seen = { seconds: 0, p50Ms: 0, p99Ms: 0, loadMicros: 0 }
  const cpu = await cpuDuring(running, async () => {
    seen.loadMicros = await loadDuring(bench, async () => {
      Object.assign(seen, await bench.ask('saturate', { requests, amount }))
    })
    await pause(AFTER_MS)
  })
  const { p50Ms: addedP50, p99Ms: addedP99 } = await bench.ask('paced', { requests, ...plan.paced })
  return {
    ...(cpu === undefined ? {} : { cpu: cpu / amount }),
    rate: amount / seen.seconds,
    p50: seen.p50Ms,
    p99: seen.p99Ms,
    addedP50,
    addedP99,
    load: busyPercent(seen.loadMicros, seen.seconds)
  }
}

/** Predictions that are answered in one piece. */
export function answersOf(
  { target }: Running,
  { keepsSession = false }: Partial<Candidate> = {},
  connections = CONNECTIONS
) {
  return requestsFor(target, { flow: 'answer', isStream: false, connections, keepsSession })
}
