import { catalogue, type ErrorCode } from '../errors.ts'
import { sentenceFor } from './sentences.ts'

/** The last frame of a stream in Flowise's framing. */
const FLOWISE_END = 'message:\ndata:{"event":"end","data":"[DONE]"}\n\n'

/** What the closing frames tell of the money, as decimal credits. */
export interface ReceiptView {
  credits_charged: number
  /** Absent if it is not known. */
  credits_remaining?: number
}

export interface Failure {
  code: ErrorCode
  status: number
}

/** How one prediction is written as server-sent events; each call returns the text of whole frames. */
export interface Dialect {
  open(): string
  /** `json` is one line that begins with `{"event":`. */
  event(name: string, json: string): string
  succeed(receipt: ReceiptView, followUpPrompts?: unknown): string
  fail(failure: Failure, receipt: ReceiptView): string
  stop(receipt: ReceiptView): string
  /** Sent in silence: a comment, and no blank line, which some parsers would take for an empty event. */
  readonly ping: string
}

export interface Identifiers {
  sessionId: string
  chatflowId: string
  messageId: string
  requestId: string
  /** Files of the question; told right after the session. */
  files?: readonly { id: string; name: string; sizeBytes: number; mime: string }[] | undefined
}

/** One frame of the gateway's stream; `json` is one line. */
export function gatewayFrame(id: number, name: string, json: string): string {
  return `id: ${id}\nevent: ${name}\ndata: ${json}\n\n`
}

/** The gateway's own: it can also tell of an answer whose money is not known any more. */
export interface GatewayDialect extends Dialect {
  succeed(receipt: Partial<ReceiptView>, followUpPrompts?: unknown): string
  fail(failure: Failure, receipt: Partial<ReceiptView>): string
}

/** Standard framing with ids, of /chat/predict. The frames behind the first are numbered from `from` on. */
export function createGatewayDialect(ids: Identifiers, from = 2): GatewayDialect {
  return new NumberedFrames(ids, from)
}

/** A class, because each stream has one. */
class NumberedFrames implements GatewayDialect {
  readonly #sessionId: string
  readonly #chatflowId: string
  readonly #messageId: string
  readonly #requestId: string
  readonly #files: Identifiers['files']
  readonly #from: number
  #next = 1

  constructor({ sessionId, chatflowId, messageId, requestId, files }: Identifiers, from: number) {
    this.#sessionId = sessionId
    this.#chatflowId = chatflowId
    this.#messageId = messageId
    this.#requestId = requestId
    this.#files = files
    this.#from = from
  }

  get ping(): string {
    return ': ping\n'
  }

  open(): string {
    const ids = { chatflow_id: this.#chatflowId, message_id: this.#messageId, request_id: this.#requestId }
    return this.#frame('session_id', { data: this.#sessionId, ...ids }) + this.#filesUploaded()
  }

  event(name: string, json: string): string {
    const id = this.#next
    this.#next = id === 1 ? this.#from : id + 1
    return gatewayFrame(id, name, json)
  }

  succeed(receipt: Partial<ReceiptView>, followUpPrompts?: unknown): string {
    const data = {
      session_id: this.#sessionId,
      sessionId: this.#sessionId,
      chatflow_id: this.#chatflowId,
      message_id: this.#messageId,
      ...receipt,
      ...(followUpPrompts === undefined ? {} : { followUpPrompts })
    }
    return this.#frame('metadata', { data }) + this.#end()
  }

  stop(receipt: Partial<ReceiptView>): string {
    return this.succeed(receipt)
  }

  fail(failure: Failure, receipt: Partial<ReceiptView>): string {
    const told = { data: catalogue[failure.code][1], ...failure, request_id: this.#requestId, ...receipt }
    return this.#frame('error', told) + this.#end()
  }

  #end(): string {
    return this.#frame('end', { data: '[DONE]' })
  }

  #filesUploaded(): string {
    const files = this.#files?.map(({ id, name, sizeBytes, mime }) => ({
      file_id: id,
      name,
      size: sizeBytes,
      type: mime
    }))
    return files?.length ? this.#frame('files_uploaded', { data: { file_count: files.length, files } }) : ''
  }

  #frame(name: string, members: Record<string, unknown>): string {
    return this.event(name, JSON.stringify({ event: name, ...members }))
  }
}

/**
 * Flowise's own framing, for clients made for Flowise. `mappedMetadata` yields its metadata with the client's ids; a
 * stranger is told nothing of the money.
 */
export function createFlowiseDialect(
  mappedMetadata: () => Record<string, unknown>,
  { isStranger }: { isStranger: boolean }
): Dialect {
  return new FlowiseFrames(mappedMetadata, isStranger)
}

/** A class, because each stream has one. */
class FlowiseFrames implements Dialect {
  readonly #mappedMetadata: () => Record<string, unknown>
  readonly #isStranger: boolean

  constructor(mappedMetadata: () => Record<string, unknown>, isStranger: boolean) {
    this.#mappedMetadata = mappedMetadata
    this.#isStranger = isStranger
  }

  get ping(): string {
    return ':ka\n'
  }

  open(): string {
    return ''
  }

  event(_name: string, json: string): string {
    return rawFlowiseFrame(json)
  }

  succeed(receipt: ReceiptView): string {
    return flowiseFrame('metadata', { ...this.#mappedMetadata(), ...(this.#isStranger ? {} : receipt) }) + FLOWISE_END
  }

  stop(): string {
    return flowiseFrame('abort', '[DONE]') + FLOWISE_END
  }

  fail({ code }: Failure): string {
    return flowiseFailure(sentenceFor(code))
  }
}

/** The last frames of a stream that failed, in Flowise's framing. */
export function flowiseFailure(sentence: string): string {
  return flowiseFrame('error', sentence) + FLOWISE_END
}

function flowiseFrame(event: string, data: unknown): string {
  return rawFlowiseFrame(JSON.stringify({ event, data }))
}

function rawFlowiseFrame(json: string): string {
  return `message:\ndata:${json}\n\n`
}
