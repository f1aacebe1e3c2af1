import type { Kept } from '../credits/bill.ts'
import type { Ending } from '../credits/outcome.ts'
import type { ErrorCode } from '../errors.ts'
import type { ChatflowRow } from '../store/collections.ts'
import type { Answer } from './answer.ts'
import type { Redaction } from './redaction.ts'
import type { Transcript } from './transcript.ts'

/** Why somebody other than Flowise ends a prediction. */
export type StopReason = 'stopped' | 'abandoned' | 'drained' | 'credits_exhausted'

export interface Outcome {
  ending: Ending
  /** What the client is told; absent when the answer counts as given. */
  code?: ErrorCode
  /** For the log only. */
  cause?: unknown
  /** Flowise has finished with this chatId, so the next run may use it again. */
  isClean: boolean
  /** When the first event, or the first byte of an answer in one piece, arrived. */
  firstAnswerAt?: number
  /** The answer of a flow that replied in one piece. */
  answer?: Answer
}

/** What a prediction cost and what is left, in micro-credits; the receipt shown to the client. */
export interface Receipt {
  chargedMicro: number
  /** Undefined while the books cannot be read. */
  availableMicro: number | undefined
}

export interface ExchangeSeed {
  runId: string
  userId: string
  sessionId: string
  /** Id of the assistant's message in the history. */
  messageId: string
  requestId: string
  chatflow: ChatflowRow
  kind: 'json' | 'sse'
  /** Absent: a prediction. */
  purpose?: 'upsert'
  startedAt: number
  transcript: Transcript
  /** What of it the client may see. */
  redaction: Redaction
}

/**
 * One prediction from the session fence to the receipt. How it ended is decided once, here; credits, history,
 * idempotency and metrics read that outcome and do not know each other.
 */
export interface Exchange extends ExchangeSeed {
  readonly outcome: Outcome | undefined
  /** Resolves once, with how it ended. */
  readonly ended: Promise<Outcome>
  /** Resolves when every reader and closer has finished; never rejects. */
  readonly concluded: Promise<void>
  /** What the money came to; written by credits before `concluded`. */
  receipt: Receipt | undefined
  /** Set when the question is stored; without it there is nothing to charge for. */
  kept: Kept | undefined
  /** Whether the prediction has been handed to Flowise; written by the run. */
  isSent: boolean
  /** Called after each event; set where the cost grows with the answer. */
  onProgress: (() => void) | undefined
  /** False if it had ended before: the first outcome stands. */
  end(outcome: Outcome): boolean
  /** Runs `read` with the outcome, at once if there is one. A reader handles its own failures. */
  whenEnded(read: (outcome: Outcome) => Promise<void>): void
  /** Runs `close` after the readers and before `concluded`: what must see the receipt, or frees something. At once if it has ended. */
  beforeConcluded(close: (outcome: Outcome) => Promise<void>): void
  /** Asks whoever runs the prediction to end it; before anybody runs it, it simply ends. */
  stop(reason: StopReason): void
  /** Takes over what a stop does. */
  onStop(listener: (reason: StopReason) => void): void
}

/** Opens an exchange; nothing has been sent, held or stored yet. */
export function createExchange(seed: ExchangeSeed): Exchange {
  const { promise: ended, resolve: resolveEnded } = Promise.withResolvers<Outcome>()
  const { promise: concluded, resolve: resolveConcluded } = Promise.withResolvers<void>()
  const readers: ((outcome: Outcome) => Promise<void>)[] = []
  const closers: ((outcome: Outcome) => Promise<void>)[] = []
  let outcome: Outcome | undefined
  let stopListener = (reason: StopReason): void =>
    void end({ ending: 'refused', isClean: true, ...(reason === 'drained' ? { code: 'draining' as const } : {}) })

  function end(how: Outcome): boolean {
    if (outcome) return false
    outcome = how
    resolveEnded(how)
    void conclude(how)
    return true
  }

  async function conclude(how: Outcome): Promise<void> {
    await Promise.allSettled(readers.map((read) => read(how)))
    await Promise.allSettled(closers.map((close) => close(how)))
    resolveConcluded()
  }

  return {
    ...seed,
    get outcome() {
      return outcome
    },
    ended,
    concluded,
    end,
    receipt: undefined,
    kept: undefined,
    isSent: false,
    onProgress: undefined,
    whenEnded(read) {
      if (outcome) void read(outcome)
      else readers.push(read)
    },
    beforeConcluded(close) {
      if (outcome) void close(outcome)
      else closers.push(close)
    },
    stop(reason) {
      if (!outcome) stopListener(reason)
    },
    onStop(listener) {
      stopListener = listener
    }
  }
}
