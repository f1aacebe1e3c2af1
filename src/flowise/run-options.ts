import type { Clock } from '../clock.ts'
import type { Hold } from '../credits/ledger.ts'
import type { FlowiseClient, PredictionBody } from './client.ts'
import type { Exchange } from './exchange.ts'
import type { Frame } from './frame.ts'
import type { FilePart } from './request.ts'
import type { WatchLimits } from './watch.ts'

export interface RunLimits extends WatchLimits {
  maxAnswerBytes: number
}

export interface RunOptions {
  exchange: Exchange
  hold: Hold
  client: FlowiseClient
  clock: Clock
  limits: RunLimits
  body: PredictionBody
  files: readonly FilePart[]
  filesAs: 'uploads' | 'parts'
  /** Flowise's id of the conversation, which its abort is addressed to. */
  chatId: string
  clientAddress: string
  /** Where a stream goes; without it only the transcript and the outcome are of use. */
  output?: RunOutput
  /** Keeps the process alive for work that goes on after the end. */
  track: (work: Promise<unknown>) => void
}

export interface RunOutput {
  /** The first event has arrived: from now on failures are told in-band. `run` is for `resume`. */
  open(run: Run): void
  /** False to stop reading until `resume`. */
  frame(frame: Frame): boolean
}

export interface Run {
  /** Reads on after a frame was answered with false. */
  resume(): void
}
