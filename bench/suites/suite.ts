import type { Candidate, CandidateName, Running } from '../candidates.ts'
import type { Generator } from '../load/generator.ts'
import type { Probe } from '../probe.ts'
import type { Ask } from '../rpc.ts'

/** A column of a table. */
export interface Metric {
  key: string
  title: string
  digits: number
  /** What is shown beside the value: its share of this candidate's, in the same round. */
  ratioTo?: CandidateName
  /** The value is shown without this candidate's, in the same round. */
  lessThe?: CandidateName
}

/** What was measured of one candidate in one round; a metric that does not apply is left out. */
export type Measured = Record<string, number>

export interface Bench {
  ask: Ask<Generator & Probe>
  /** The process that stands in for Flowise. */
  askUpstream: Ask<Probe>
  isQuick: boolean
}

/** A question to all candidates. */
export interface Suite {
  title: string
  /** What was done, for the reader of the table. */
  text: (isQuick: boolean) => string
  metrics: readonly Metric[]
  /** Candidates that it makes no sense for. */
  without: readonly CandidateName[]
  /** A new process for each measurement; otherwise one for all rounds. */
  isFresh: boolean
  measure(bench: Bench, running: Running, candidate: Candidate): Promise<Measured>
  /** Before the first round, on the processes that serve all rounds. */
  warmUp?(bench: Bench, running: Running, candidate: Candidate): Promise<void>
}
