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
  /** Resolves once, with how it ended, when every reader and closer has finished; never rejects. */
  readonly concluded: Promise<Outcome>
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
  whenEnded(read: Reader): void
  /** Runs `close` after the readers and before `concluded`: what must see the receipt, or frees something. At once if it has ended. */
  beforeConcluded(close: Reader): void
  /** Asks whoever runs the prediction to end it; before anybody runs it, it simply ends. */
  stop(reason: StopReason): void
  /** Takes over what a stop does. */
  onStop(listener: (reason: StopReason) => void): void
}

/** Told how a prediction ended; waited for where it answers a promise. */
export type Reader = (outcome: Outcome) => Promise<void> | void

/** Opens an exchange; nothing has been sent, held or stored yet. */
export function createExchange(seed: ExchangeSeed): Exchange {
  return new OpenExchange(seed)
}

/** The state of one prediction: a class, because each of them has one and its methods are the same for all. */
class OpenExchange implements Exchange {
  readonly runId: string
  readonly userId: string
  readonly sessionId: string
  readonly messageId: string
  readonly requestId: string
  readonly chatflow: ChatflowRow
  readonly kind: 'json' | 'sse'
  readonly purpose?: 'upsert'
  readonly startedAt: number
  readonly transcript: Transcript
  readonly redaction: Redaction
  readonly concluded: Promise<Outcome>
  outcome: Outcome | undefined
  receipt: Receipt | undefined
  kept: Kept | undefined
  isSent = false
  onProgress: (() => void) | undefined
  readonly #readers: Reader[] = []
  readonly #closers: Reader[] = []
  readonly #conclude: (outcome: Outcome) => void
  #stopListener: ((reason: StopReason) => void) | undefined

  constructor(seed: ExchangeSeed) {
    this.runId = seed.runId
    this.userId = seed.userId
    this.sessionId = seed.sessionId
    this.messageId = seed.messageId
    this.requestId = seed.requestId
    this.chatflow = seed.chatflow
    this.kind = seed.kind
    if (seed.purpose) this.purpose = seed.purpose
    this.startedAt = seed.startedAt
    this.transcript = seed.transcript
    this.redaction = seed.redaction
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    this.concluded = promise
    this.#conclude = resolve
  }

  end(outcome: Outcome): boolean {
    if (this.outcome) return false
    this.outcome = outcome
    whenAllHaveRead(this.#readers, outcome, () => whenAllHaveRead(this.#closers, outcome, this.#conclude))
    return true
  }

  whenEnded(read: Reader): void {
    if (this.outcome) void started(read, this.outcome)
    else this.#readers.push(read)
  }

  beforeConcluded(close: Reader): void {
    if (this.outcome) void started(close, this.outcome)
    else this.#closers.push(close)
  }

  stop(reason: StopReason): void {
    if (this.outcome) return
    if (this.#stopListener) this.#stopListener(reason)
    else this.end({ ending: 'refused', isClean: true, ...(reason === 'drained' && { code: 'draining' as const }) })
  }

  onStop(listener: (reason: StopReason) => void): void {
    this.#stopListener = listener
  }
}

/** All of them at once, then `next`: a count, because each prediction waits so twice and nobody asks what they answered. */
function whenAllHaveRead(readers: readonly Reader[], outcome: Outcome, next: (outcome: Outcome) => void): void {
  let open = 1
  const hasRead = () => {
    open -= 1
    if (open === 0) next(outcome)
  }
  for (const read of readers) {
    const reading = started(read, outcome)
    if (!reading) continue
    open += 1
    reading.then(hasRead, hasRead)
  }
  hasRead()
}

/** Whoever fails at once keeps no other from reading. */
function started(read: Reader, outcome: Outcome): Promise<void> | void {
  try {
    return read(outcome)
  } catch {
    return undefined
  }
}
