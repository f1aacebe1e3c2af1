import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { Agent, Dispatcher } from 'undici'
import type { Hold } from '../credits/ledger.ts'
import { AppError } from '../errors.ts'
import { authorization, type FlowiseAddress, segment, toAppError } from './call.ts'
import { encodeMultipart } from './multipart.ts'
import type { PredictionBody } from './prediction.ts'
import type { FilePart } from './request.ts'
import { encodeJson } from './uploads.ts'

export interface PredictOptions {
  chatflowId: string
  body: PredictionBody
  files?: readonly FilePart[]
  /** In which form they are sent. */
  filesAs?: 'uploads' | 'parts'
  /** The one address that goes out as X-Forwarded-For. */
  clientAddress: string
  /** Default by `body.streaming`. */
  accept?: string
}

/** What a prediction does while it runs; after `onEnd`, `onError` or an `abort()` nothing is called any more. */
export interface UpstreamHandler {
  onHead: (status: number, headers: Record<string, string | string[] | undefined>) => void
  onData: (chunk: Buffer) => void
  onEnd: () => void
  /**
   * upstream_unavailable before the head, upstream_incomplete after it, upstream_error for bytes that are not HTTP.
   * `wasSent` is false if no connection came about, so that Flowise has never heard of the prediction.
   */
  onError: (error: AppError, wasSent: boolean) => void
}

/** A running prediction. At most one more chunk arrives after `pause()`; `abort()` closes the connection. */
export interface UpstreamCall {
  pause: () => void
  resume: () => void
  abort: () => void
}

/** Sends a prediction once; the hold proves that it may cost something. */
export type Predict = (hold: Hold, options: PredictOptions, handler: UpstreamHandler) => UpstreamCall

/** Makes the only function that opens predictions at Flowise. It has no timers but the one for connecting, and never retries. */
export function createPredict(agent: Agent, address: FlowiseAddress): Predict {
  return function predict(_hold, { chatflowId, body, files = [], filesAs, clientAddress, accept }, handler) {
    const isForm = filesAs === 'parts' && files.length > 0
    const { contentType, sizeBytes, payload } = isForm ? encodeMultipart(body, files) : encodeJson(body, files)
    const call = new SentPrediction(handler)
    agent.dispatch(
      {
        origin: address.origin,
        path: `${address.prefix}/api/v1/prediction/${segment(chatflowId)}`,
        method: 'POST',
        headers: {
          'content-type': contentType,
          'content-length': String(sizeBytes),
          accept: accept ?? (body.streaming ? 'text/event-stream' : 'application/json'),
          'x-forwarded-for': clientAddress,
          ...authorization(address)
        },
        // As a stream it is let go when it is sent, and not when the answer has come.
        body: Buffer.isBuffer(payload) ? payload : Readable.from(payload, { objectMode: false }),
        headersTimeout: 0,
        bodyTimeout: 0
      },
      call
    )
    return call
  }
}

/** A class, because each prediction has one; what the connection tells, it hands on. */
class SentPrediction implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly #handler: UpstreamHandler
  #controller: Dispatcher.DispatchController | undefined
  #isPaused = false
  #isDone = false
  #hasHead = false

  constructor(handler: UpstreamHandler) {
    this.#handler = handler
  }

  pause(): void {
    this.#isPaused = true
    this.#controller?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#controller?.resume()
  }

  abort(): void {
    this.#isDone = true
    this.#controller?.abort(new Error('the prediction was aborted'))
  }

  onRequestStart(started: Dispatcher.DispatchController): void {
    const isSecondTime = this.#controller !== undefined
    this.#controller = started
    if (this.#isDone || isSecondTime)
      started.abort(new Error(this.#isDone ? 'aborted before it was sent' : 'not sent twice'))
    else if (this.#isPaused) started.pause()
  }

  onResponseStart(started: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // Their bytes would stay as long as the answer takes.
    started.rawHeaders = null
    if (this.#isDone || status < 200) return
    this.#hasHead = true
    this.#guarded(() => this.#handler.onHead(status, headers))
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isDone) this.#guarded(() => this.#handler.onData(chunk))
  }

  onResponseEnd(): void {
    if (this.#isDone) return
    this.#guarded(() => this.#handler.onEnd())
    this.#isDone = true
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isDone) return
    this.#isDone = true
    const told = toAppError(error, this.#hasHead ? 'upstream_incomplete' : undefined)
    this.#handler.onError(told, this.#controller !== undefined)
  }

  /** What the handler throws ends the call: an AppError as it is, anything else as a fault of the gateway. */
  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.abort()
      this.#handler.onError(
        error instanceof AppError ? error : new AppError('internal_error', {}, { cause: error }),
        true
      )
    }
  }
}
