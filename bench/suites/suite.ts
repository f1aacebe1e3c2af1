import type { Candidate, Running } from '../candidates.ts'
import type { Rounds } from '../comparison.ts'
import type { Goal } from '../goals.ts'
import type { Generator } from '../load/generator.ts'
import type { Probe } from '../probe.ts'
import type { Ask } from '../rpc.ts'
import type { Setup } from '../setup.ts'

/** A column of a table. */
export interface Metric {
  key: string
  title: string
  digits: number
  /** What is shown beside the value: its share of this candidate's, in the same round. */
  ratioTo?: string
  /** The value is shown without this candidate's, in the same round. */
  lessThe?: string
}

/** What was measured of one candidate in one round; a metric that does not apply is left out. */
export type Measured = Record<string, number>

export interface Bench {
  ask: Ask<Generator & Probe>
  /** The process that stands in for Flowise. */
  askUpstream: Ask<Probe>
  isQuick: boolean
}

/** A picture of the results, kept beside the page. */
export interface Picture {
  /** In docs/. */
  file: string
  /** For those who cannot see it. */
  text: string
  svg: string
}

/** A question to several candidates. */
export interface Suite {
  title: string
  /** What was done, for the reader of the table. */
  text: (isQuick: boolean) => string
  metrics: readonly Metric[]
  goals: readonly Goal[]
  /** A new process for each measurement; otherwise one for all rounds. */
  isFresh: boolean
  /** In the order of the table. */
  candidates(setup: Setup): Promise<readonly Candidate[]>
  measure(bench: Bench, running: Running, candidate: Candidate): Promise<Measured>
  /** Before the first round, on the processes that serve all rounds. */
  warmUp?(bench: Bench, running: Running, candidate: Candidate): Promise<void>
  picture?(rounds: Rounds): Picture
}

/** CPU time of the measured process while something is done; undefined where there is no such process. */
export async function cpuDuring(running: Running, work: () => Promise<unknown>): Promise<number | undefined> {
  const before = await running.ask?.('cpuMicros')
  await work()
  const after = await running.ask?.('cpuMicros')
  return before === undefined || after === undefined ? undefined : after - before
}

/** CPU time of the load generator and of the stand-in while something is done. */
export async function loadDuring({ ask, askUpstream }: Bench, work: () => Promise<unknown>): Promise<number> {
  const loadMicros = async () => (await ask('cpuMicros')) + (await askUpstream('cpuMicros'))
  const before = await loadMicros()
  await work()
  return (await loadMicros()) - before
}

/** How busy a core was, in percent. */
export function busyPercent(micros: number, seconds: number): number {
  return micros / seconds / 10_000
}
