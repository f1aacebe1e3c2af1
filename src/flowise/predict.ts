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
    const response = createResponse(handler)
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
      response.dispatchHandler
    )
    return response.call
  }
}

function createResponse(handler: UpstreamHandler): { call: UpstreamCall; dispatchHandler: Dispatcher.DispatchHandler } {
  let controller: Dispatcher.DispatchController | undefined
  let isPaused = false
  let isDone = false
  let hasHead = false

  const call: UpstreamCall = {
    pause() {
      isPaused = true
      controller?.pause()
    },
    resume() {
      isPaused = false
      controller?.resume()
    },
    abort() {
      isDone = true
      controller?.abort(new Error('the prediction was aborted'))
    }
  }
  return {
    call,
    dispatchHandler: {
      onRequestStart(started) {
        const isSecondTime = controller !== undefined
        controller = started
        if (isDone || isSecondTime) started.abort(new Error(isDone ? 'aborted before it was sent' : 'not sent twice'))
        else if (isPaused) started.pause()
      },
      onResponseStart(started, status, headers) {
        // Their bytes would stay as long as the answer takes.
        started.rawHeaders = null
        if (isDone || status < 200) return
        hasHead = true
        guarded(() => handler.onHead(status, headers))
      },
      onResponseData(_controller, chunk) {
        if (!isDone) guarded(() => handler.onData(chunk))
      },
      onResponseEnd() {
        if (isDone) return
        guarded(() => handler.onEnd())
        isDone = true
      },
      onResponseError(_controller, error) {
        if (!isDone) fail(toAppError(error, hasHead ? 'upstream_incomplete' : undefined))
      }
    }
  }

  /** What the handler throws ends the call: an AppError as it is, anything else as a fault of the gateway. */
  function guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      call.abort()
      handler.onError(error instanceof AppError ? error : new AppError('internal_error', {}, { cause: error }), true)
    }
  }

  function fail(error: AppError): void {
    isDone = true
    handler.onError(error, controller !== undefined)
  }
}
