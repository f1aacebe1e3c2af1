import type { Clock } from '../clock.ts'
import type { Ending } from '../credits/outcome.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import { producedFrames, readAnswer } from './answer.ts'
import { announcedKind, type BodyKind, streamedKind } from './body-kind.ts'
import type { FlowiseClient, UpstreamCall, UpstreamHandler } from './client.ts'
import type { Exchange, Outcome, StopReason } from './exchange.ts'
import { createFrame, type Frame } from './frame.ts'
import { parseJson } from './json.ts'
import { createRepair, type Repair } from './repair.ts'
import type { Run, RunLimits, RunOptions, RunOutput } from './run-options.ts'
import { createSseParser, type SseParser } from './sse.ts'
import { createWatch, type Limit, type Watch, type WatchListener } from './watch.ts'

export type { Run, RunLimits, RunOptions, RunOutput } from './run-options.ts'

const TOLD_BY_STOP: Record<StopReason, { code?: ErrorCode }> = {
  stopped: {},
  abandoned: {},
  drained: { code: 'draining' },
  credits_exhausted: { code: 'credits_exhausted' }
}
const LOGGED_ERROR_BYTES = 2048
/** How long Flowise has for its `end`, and for closing a connection on which it has said all. */
const LINGER_MS = 2000

/**
 * Sends one prediction to Flowise, once, and brings it to exactly one outcome of its exchange, whatever Flowise,
 * the client or the clock do. Headers and comments prove nothing; only events and bodies count.
 */
export function startRun(options: RunOptions): Run {
  return new SentRun(options)
}

/** A class, because each prediction has one, and many are open at once. */
class SentRun implements Run, UpstreamHandler, WatchListener {
  readonly #exchange: Exchange
  readonly #client: FlowiseClient
  readonly #clock: Clock
  readonly #limits: RunLimits
  readonly #output: RunOutput | undefined
  readonly #chatId: string
  readonly #track: (work: Promise<unknown>) => void
  readonly #watch: Watch
  readonly #call: UpstreamCall
  // Most runs need none of these, or one.
  #repair: Repair | undefined
  #parser: SseParser | undefined
  #chunks: Buffer[] | undefined
  #cancelLinger: (() => void) | undefined
  #cancelEndWait: (() => void) | undefined
  #reads: BodyKind | undefined
  #status = 0
  #receivedBytes = 0
  #answerBytes = 0
  #hasBegun = false
  #hasAction = false
  #isEnding = false
  #isPaused = false
  #isClosed = false
  #firstAnswerAt: number | undefined

  /** Keeps no `options`: what was sent, files and all, must not stay as long as the answer takes. */
  constructor(options: RunOptions) {
    const { exchange, hold, client, clock, limits, body, files, filesAs, clientAddress } = options
    this.#exchange = exchange
    this.#client = client
    this.#clock = clock
    this.#limits = limits
    this.#output = options.output
    this.#chatId = options.chatId
    this.#track = options.track
    this.#watch = createWatch({ clock, startedAt: exchange.startedAt, limits }, this)
    exchange.onStop((reason) => this.#finish({ ending: reason, isClean: false, ...TOLD_BY_STOP[reason] }, true))
    const question = { chatflowId: exchange.chatflow.id, body, files, filesAs, clientAddress }
    this.#call = client.predict(hold, question, this)
    exchange.isSent = true
  }

  resume(): void {
    if (!this.#isPaused || this.#exchange.outcome) return
    this.#isPaused = false
    this.#watch.resume()
    this.#call.resume()
  }

  onHead(statusCode: number, headers: Record<string, string | string[] | undefined>): void {
    this.#status = statusCode
    const type = String(headers['content-type'] ?? '')
    this.#reads = announcedKind(this.#status, type)
    if (this.#reads === undefined)
      this.#fail('upstream_error', new Error(`unexpected content type ${type.slice(0, 80)}`))
  }

  onData(chunk: Buffer): void {
    if (this.#exchange.outcome) return
    this.#receivedBytes += chunk.length
    if (this.#reads === 'problem') {
      if (this.#receivedBytes <= LOGGED_ERROR_BYTES) this.#keep(chunk)
      return
    }
    if (this.#reads === 'stream') this.#reads = streamedKind(chunk)
    if (this.#reads === 'json') {
      if (this.#receivedBytes > this.#limits.maxAnswerBytes) return this.#failTooLarge()
      this.#active()
      this.#keep(chunk)
      return
    }
    try {
      this.#parser ??= createSseParser({
        maxFrameBytes: this.#limits.maxAnswerBytes,
        onFrame: (frame) => this.#takeFrame(frame)
      })
      this.#parser.push(chunk)
    } catch (error) {
      if (error instanceof AppError && error.code === 'upstream_too_large') this.#failTooLarge()
      else this.#fail('internal_error', error)
    }
  }

  onEnd(): void {
    this.#closed()
    if (this.#reads === 'problem') return this.#finishProblem()
    if (this.#reads === 'json') return this.#finishJson()
    this.#parser?.end()
    if (!this.#exchange.outcome) this.#closeWithoutEnd()
  }

  onError(error: AppError, wasSent: boolean): void {
    this.#closed()
    if (this.#exchange.outcome || this.#isEnding) return
    if (this.#reads === 'problem') this.#finishProblem()
    else if (this.#hasBegun) this.#closeWithoutEnd(error)
    else if (error.code !== 'upstream_incomplete') this.#fail(error.code, error.cause ?? error, !wasSent)
    else
      this.#fail(
        this.#receivedBytes > 0 && this.#reads === 'json' ? 'upstream_error' : 'upstream_unavailable',
        error.cause ?? error
      )
  }

  onDue(limit: Limit): void {
    if (limit === 'first_byte')
      return this.#finish({ ending: 'failed_before_output', code: 'upstream_timeout', isClean: false }, true)
    const code = limit === 'deadline' && this.#hasBegun ? 'deadline_exceeded' : 'upstream_timeout'
    this.#finish({ ending: limit === 'idle' ? 'idle_timeout' : 'deadline', code, isClean: false }, true)
  }

  #active(): void {
    this.#watch.active()
    this.#firstAnswerAt ??= this.#clock.now()
  }

  #closed(): void {
    this.#isClosed = true
    this.#cancelLinger?.()
  }

  #takeFrame(frame: Frame): void {
    if (this.#exchange.outcome || this.#isEnding) return
    if (frame.event === 'message') return
    this.#active()
    if (frame.event === 'error') return this.#fail('upstream_error', new Error(frame.json.slice(0, 500)))
    if (frame.event === 'end') return this.#takeEnd(true)
    if (frame.event === 'abort') return this.#finish({ ending: 'stopped', isClean: true }, false)
    // Execution data repeats all nodes with every node, and of it only their names leave: it is no part of the answer's size.
    if (frame.event === 'agentFlowExecutedData') this.#repairing().note(frame)
    else this.#answerBytes += Buffer.byteLength(frame.json)
    if (this.#answerBytes > this.#limits.maxAnswerBytes) return this.#failTooLarge()
    this.#hasAction ||= frame.event === 'action'
    this.#exchange.transcript.add(frame)
    this.#deliver(frame)
    this.#exchange.onProgress?.()
    // Nothing but `end` comes after it; when that does not come, the answer is complete all the same.
    if (frame.event === 'metadata' && this.#isStored()) this.#waitForEnd()
  }

  #deliver(frame: Frame): void {
    const isFirst = !this.#hasBegun
    this.#hasBegun = true
    if (!this.#output) return
    if (isFirst) this.#output.open(this)
    if (!this.#output.frame(frame) && !this.#isPaused) {
      this.#isPaused = true
      this.#watch.suspend()
      this.#call.pause()
    }
  }

  #repairing(): Repair {
    return (this.#repair ??= createRepair({
      client: this.#client,
      clock: this.#clock,
      chatflowId: this.#exchange.chatflow.id
    }))
  }

  #waitForEnd(): void {
    this.#cancelEndWait?.()
    this.#cancelEndWait = this.#clock.after(LINGER_MS, () => this.#takeEnd(false))
  }

  /** `isClean` is false where Flowise has not said itself that it is done. */
  #takeEnd(isClean: boolean): void {
    if (this.#exchange.outcome || this.#isEnding) return
    if (!this.#isEmpty()) return this.#finish({ ending: 'completed', isClean }, false)
    const storedAs = this.#exchange.transcript.chatMessageId
    if (storedAs === undefined) return this.#fail('upstream_empty', undefined, isClean)
    this.#isEnding = true
    this.#track(this.#fill(storedAs, isClean))
  }

  /** Flowise sometimes streams only `metadata` and `end` although it has an answer: it is told as one token. */
  async #fill(chatMessageId: string, isClean: boolean): Promise<void> {
    const text = await this.#repairing().find(chatMessageId)
    if (this.#exchange.outcome) return
    if (!text) return this.#fail('upstream_empty', undefined, isClean)
    const frame = createFrame('token', text)
    this.#exchange.transcript.add(frame)
    this.#deliver(frame)
    this.#finish({ ending: 'completed', isClean }, false)
  }

  #keep(chunk: Buffer): void {
    this.#chunks ??= []
    this.#chunks.push(chunk)
  }

  #received(): string {
    return Buffer.concat(this.#chunks ?? []).toString('utf8')
  }

  #finishJson(): void {
    if (this.#exchange.outcome) return
    const text = this.#received()
    const json = parseJson(text.replace(/^\uFEFF/, ''))
    if (json === undefined) return this.#fail('upstream_error', new Error('the answer is not JSON'), true)
    const answer = readAnswer(json)
    this.#hasAction = answer.result.action !== undefined && answer.result.action !== null
    if (answer.isEmpty && !this.#hasAction) return this.#fail('upstream_empty', undefined, true)
    for (const frame of producedFrames(answer)) this.#exchange.transcript.add(frame)
    this.#finish({ ending: 'completed', isClean: true, answer }, false)
  }

  #finishProblem(): void {
    const code = this.#status === 404 ? 'chatflow_not_found' : 'upstream_error'
    this.#fail(code, new Error(`status ${this.#status}: ${this.#received().slice(0, 500)}`), true)
  }

  #isEmpty(): boolean {
    const { hasOutput, text } = this.#exchange.transcript
    return !hasOutput && text === '' && !this.#hasAction
  }

  /** Flowise's own criterion of success: it says under which id it has stored the answer, last but its `end`. */
  #isStored(): boolean {
    return this.#exchange.transcript.chatMessageId !== undefined
  }

  #closeWithoutEnd(cause?: unknown): void {
    if (this.#isStored()) return this.#takeEnd(cause === undefined)
    if (!this.#hasBegun) return this.#fail('upstream_empty', cause)
    this.#finish({ ending: 'closed_without_end', code: 'upstream_incomplete', cause, isClean: false }, false)
  }

  #failTooLarge(): void {
    const code = this.#hasBegun ? 'upstream_error' : 'upstream_too_large'
    this.#fail(code, new Error(`more than ${this.#limits.maxAnswerBytes} bytes`), false, true)
  }

  #fail(code: ErrorCode, cause?: unknown, isClean = false, abort = false): void {
    const ending: Ending = this.#exchange.transcript.hasOutput ? 'failed_after_output' : 'failed_before_output'
    this.#finish({ ending, code, cause, isClean }, abort)
  }

  #finish(outcome: Outcome, abort: boolean): void {
    const firstAnswerAt = this.#firstAnswerAt
    if (!this.#exchange.end(firstAnswerAt === undefined ? outcome : { ...outcome, firstAnswerAt })) return
    this.#watch.stop()
    this.#cancelEndWait?.()
    this.#chunks = undefined
    // Queued, because Flowise can answer while the call is still being made.
    queueMicrotask(() => {
      if (!outcome.isClean || abort) this.#call.abort()
      // Flowise closes after its `end`; a connection that it forgets to close must not stay for ever.
      else if (!this.#isClosed) this.#cancelLinger = this.#clock.after(LINGER_MS, () => this.#call.abort())
    })
    if (abort) this.#track(this.#client.abort(this.#exchange.chatflow.id, this.#chatId, this.#hasBegun))
  }
}
