import { catalogue, type ErrorCode } from '../errors.ts'
import { sentenceFor } from './sentences.ts'

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
  let next = 1
  const raw = (name: string, json: string) => {
    const id = next
    next = id === 1 ? from : id + 1
    return gatewayFrame(id, name, json)
  }
  const frame = (name: string, members: Record<string, unknown>) =>
    raw(name, JSON.stringify({ event: name, ...members }))
  const end = () => frame('end', { data: '[DONE]' })
  const succeed = (receipt: Partial<ReceiptView>, followUpPrompts?: unknown) => {
    const data = {
      session_id: ids.sessionId,
      sessionId: ids.sessionId,
      chatflow_id: ids.chatflowId,
      message_id: ids.messageId,
      ...receipt,
      ...(followUpPrompts === undefined ? {} : { followUpPrompts })
    }
    return frame('metadata', { data }) + end()
  }
  const filesUploaded = () => {
    const files = ids.files?.map(({ id, name, sizeBytes, mime }) => ({
      file_id: id,
      name,
      size: sizeBytes,
      type: mime
    }))
    return files?.length ? frame('files_uploaded', { data: { file_count: files.length, files } }) : ''
  }
  return {
    ping: ': ping\n',
    open: () =>
      frame('session_id', {
        data: ids.sessionId,
        chatflow_id: ids.chatflowId,
        message_id: ids.messageId,
        request_id: ids.requestId
      }) + filesUploaded(),
    event: raw,
    succeed,
    stop: succeed,
    fail: (failure, receipt) =>
      frame('error', { data: catalogue[failure.code][1], ...failure, request_id: ids.requestId, ...receipt }) + end()
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
  const end = () => flowiseFrame('end', '[DONE]')
  return {
    ping: ':ka\n',
    open: () => '',
    event: (_name, json) => rawFlowiseFrame(json),
    succeed: (receipt) => flowiseFrame('metadata', { ...mappedMetadata(), ...(isStranger ? {} : receipt) }) + end(),
    stop: () => flowiseFrame('abort', '[DONE]') + end(),
    fail: ({ code }) => flowiseFailure(sentenceFor(code))
  }
}

/** The last frames of a stream that failed, in Flowise's framing. */
export function flowiseFailure(sentence: string): string {
  return flowiseFrame('error', sentence) + flowiseFrame('end', '[DONE]')
}

function flowiseFrame(event: string, data: unknown): string {
  return rawFlowiseFrame(JSON.stringify({ event, data }))
}

function rawFlowiseFrame(json: string): string {
  return `message:\ndata:${json}\n\n`
}
