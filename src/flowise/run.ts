import type { Clock } from '../clock.ts'
import type { Hold } from '../credits/ledger.ts'
import type { Ending } from '../credits/outcome.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import { producedFrames, readAnswer } from './answer.ts'
import { announcedKind, type BodyKind, streamedKind } from './body-kind.ts'
import type { FlowiseClient, PredictionBody } from './client.ts'
import type { Exchange, Outcome, StopReason } from './exchange.ts'
import { createFrame, type Frame } from './frame.ts'
import { parseJson } from './json.ts'
import { createRepair, type Repair } from './repair.ts'
import type { FilePart } from './request.ts'
import { createSseParser, type SseParser } from './sse.ts'
import { createWatch } from './watch.ts'

export interface RunLimits {
  firstByteTimeoutMs: number
  idleTimeoutMs: number
  deadlineMs: number
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
  /** The first event has arrived: from now on failures are told in-band. */
  open(): void
  /** False to stop reading until `resume`. */
  frame(frame: Frame): boolean
}

export interface Run {
  /** Reads on after a frame was answered with false. */
  resume(): void
}

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
  const { exchange, client, clock, limits, output, chatId, track } = options
  // Nothing below names `options`: what was sent, files and all, must not stay as long as the answer takes.
  const { transcript } = exchange
  const watch = createWatch({
    clock,
    startedAt: exchange.startedAt,
    firstByteMs: limits.firstByteTimeoutMs,
    idleMs: limits.idleTimeoutMs,
    deadlineMs: limits.deadlineMs,
    onDue: timeOut
  })
  // Most runs need none of these, or one.
  let repair: Repair | undefined
  let parser: SseParser | undefined
  let reads: BodyKind | undefined
  let status = 0
  let receivedBytes = 0
  let answerBytes = 0
  let chunks: Buffer[] = []
  let hasBegun = false
  let hasAction = false
  let isEnding = false
  let isPaused = false
  let isClosed = false
  let firstAnswerAt: number | undefined
  let cancelLinger = () => {}
  let cancelEndWait = () => {}

  exchange.onStop((reason) => finish({ ending: reason, isClean: false, ...TOLD_BY_STOP[reason] }, true))
  const call = client.predict(
    options.hold,
    {
      chatflowId: exchange.chatflow.id,
      body: options.body,
      files: options.files,
      filesAs: options.filesAs,
      clientAddress: options.clientAddress
    },
    { onHead, onData, onEnd, onError }
  )
  exchange.isSent = true

  return {
    resume() {
      if (!isPaused || exchange.outcome) return
      isPaused = false
      watch.resume()
      call.resume()
    }
  }

  function onHead(statusCode: number, headers: Record<string, string | string[] | undefined>): void {
    status = statusCode
    const type = String(headers['content-type'] ?? '')
    reads = announcedKind(status, type)
    if (reads === undefined) fail('upstream_error', new Error(`unexpected content type ${type.slice(0, 80)}`))
  }

  function onData(chunk: Buffer): void {
    if (exchange.outcome) return
    receivedBytes += chunk.length
    if (reads === 'problem') {
      if (receivedBytes <= LOGGED_ERROR_BYTES) chunks.push(chunk)
      return
    }
    if (reads === 'stream') reads = streamedKind(chunk)
    if (reads === 'json') {
      if (receivedBytes > limits.maxAnswerBytes) return failTooLarge()
      active()
      chunks.push(chunk)
      return
    }
    try {
      parser ??= createSseParser({ maxFrameBytes: limits.maxAnswerBytes, onFrame: takeFrame })
      parser.push(chunk)
    } catch (error) {
      if (error instanceof AppError && error.code === 'upstream_too_large') failTooLarge()
      else fail('internal_error', error)
    }
  }

  function onEnd(): void {
    closed()
    if (reads === 'problem') return finishProblem()
    if (reads === 'json') return finishJson()
    parser?.end()
    if (!exchange.outcome) closeWithoutEnd()
  }

  function onError(error: AppError, wasSent: boolean): void {
    closed()
    if (exchange.outcome || isEnding) return
    if (reads === 'problem') finishProblem()
    else if (hasBegun) closeWithoutEnd(error)
    else if (error.code !== 'upstream_incomplete') fail(error.code, error.cause ?? error, !wasSent)
    else fail(receivedBytes > 0 && reads === 'json' ? 'upstream_error' : 'upstream_unavailable', error.cause ?? error)
  }

  function active(): void {
    watch.active()
    firstAnswerAt ??= clock.now()
  }

  function closed(): void {
    isClosed = true
    cancelLinger()
  }

  function takeFrame(frame: Frame): void {
    if (exchange.outcome || isEnding) return
    if (frame.event === 'message') return
    active()
    if (frame.event === 'error') return fail('upstream_error', new Error(frame.json.slice(0, 500)))
    if (frame.event === 'end') return takeEnd(true)
    if (frame.event === 'abort') return finish({ ending: 'stopped', isClean: true }, false)
    // Execution data repeats all nodes with every node, and of it only their names leave: it is no part of the answer's size.
    if (frame.event === 'agentFlowExecutedData') repairing().note(frame)
    else answerBytes += Buffer.byteLength(frame.json)
    if (answerBytes > limits.maxAnswerBytes) return failTooLarge()
    hasAction ||= frame.event === 'action'
    transcript.add(frame)
    deliver(frame)
    exchange.onProgress?.()
    // Nothing but `end` comes after it; when that does not come, the answer is complete all the same.
    if (frame.event === 'metadata' && isStored()) waitForEnd()
  }

  function deliver(frame: Frame): void {
    const isFirst = !hasBegun
    hasBegun = true
    if (!output) return
    if (isFirst) output.open()
    if (!output.frame(frame) && !isPaused) {
      isPaused = true
      watch.suspend()
      call.pause()
    }
  }

  function repairing(): Repair {
    return (repair ??= createRepair({ client, clock, chatflowId: exchange.chatflow.id }))
  }

  function waitForEnd(): void {
    cancelEndWait()
    cancelEndWait = clock.after(LINGER_MS, () => takeEnd(false))
  }

  /** `isClean` is false where Flowise has not said itself that it is done. */
  function takeEnd(isClean: boolean): void {
    if (exchange.outcome || isEnding) return
    if (!isEmpty()) return finish({ ending: 'completed', isClean }, false)
    const storedAs = transcript.chatMessageId
    if (storedAs === undefined) return fail('upstream_empty', undefined, isClean)
    isEnding = true
    track(fill(storedAs, isClean))
  }

  /** Flowise sometimes streams only `metadata` and `end` although it has an answer: it is told as one token. */
  async function fill(chatMessageId: string, isClean: boolean): Promise<void> {
    const text = await repairing().find(chatMessageId)
    if (exchange.outcome) return
    if (!text) return fail('upstream_empty', undefined, isClean)
    const frame = createFrame('token', text)
    transcript.add(frame)
    deliver(frame)
    finish({ ending: 'completed', isClean }, false)
  }

  function finishJson(): void {
    if (exchange.outcome) return
    const text = Buffer.concat(chunks).toString('utf8')
    const json = parseJson(text.replace(/^\uFEFF/, ''))
    if (json === undefined) return fail('upstream_error', new Error('the answer is not JSON'), true)
    const answer = readAnswer(json)
    hasAction = answer.result.action !== undefined && answer.result.action !== null
    if (answer.isEmpty && !hasAction) return fail('upstream_empty', undefined, true)
    for (const frame of producedFrames(answer)) transcript.add(frame)
    finish({ ending: 'completed', isClean: true, answer }, false)
  }

  function finishProblem(): void {
    const text = Buffer.concat(chunks).toString('utf8').slice(0, 500)
    fail(status === 404 ? 'chatflow_not_found' : 'upstream_error', new Error(`status ${status}: ${text}`), true)
  }

  function isEmpty(): boolean {
    return !transcript.hasOutput && transcript.text === '' && !hasAction
  }

  /** Flowise's own criterion of success: it says under which id it has stored the answer, last but its `end`. */
  function isStored(): boolean {
    return transcript.chatMessageId !== undefined
  }

  function closeWithoutEnd(cause?: unknown): void {
    if (isStored()) return takeEnd(cause === undefined)
    if (!hasBegun) return fail('upstream_empty', cause)
    finish({ ending: 'closed_without_end', code: 'upstream_incomplete', cause, isClean: false }, false)
  }

  function failTooLarge(): void {
    const code = hasBegun ? 'upstream_error' : 'upstream_too_large'
    fail(code, new Error(`more than ${limits.maxAnswerBytes} bytes`), false, true)
  }

  function fail(code: ErrorCode, cause?: unknown, isClean = false, abort = false): void {
    const ending: Ending = transcript.hasOutput ? 'failed_after_output' : 'failed_before_output'
    finish({ ending, code, cause, isClean }, abort)
  }

  function timeOut(limit: 'first_byte' | 'idle' | 'deadline'): void {
    if (limit === 'first_byte')
      return finish({ ending: 'failed_before_output', code: 'upstream_timeout', isClean: false }, true)
    const code = limit === 'deadline' && hasBegun ? 'deadline_exceeded' : 'upstream_timeout'
    finish({ ending: limit === 'idle' ? 'idle_timeout' : 'deadline', code, isClean: false }, true)
  }

  function finish(outcome: Outcome, abort: boolean): void {
    if (!exchange.end({ ...outcome, ...(firstAnswerAt === undefined ? {} : { firstAnswerAt }) })) return
    watch.stop()
    cancelEndWait()
    chunks = []
    // Queued, because Flowise can answer while `call` is still being made.
    queueMicrotask(() => {
      if (!outcome.isClean || abort) call.abort()
      // Flowise closes after its `end`; a connection that it forgets to close must not stay for ever.
      else if (!isClosed) cancelLinger = clock.after(LINGER_MS, call.abort)
    })
    if (abort) track(client.abort(exchange.chatflow.id, chatId, hasBegun))
  }
}
