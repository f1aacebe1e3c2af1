import type { ErrorCode } from '../errors.ts'
import type { ReceiptView } from './dialect.ts'
import type { Ending } from '../credits/outcome.ts'
import type { Exchange, Outcome } from './exchange.ts'
import { isRecord } from './json.ts'
import { filterFlowiseResult, filterResult } from './redaction.ts'

const MICRO = 1_000_000

/** What a finished prediction comes to, whole and free of Flowise's ids: what replies are made of, and what an idempotency key keeps. */
export interface PredictionResult {
  sessionId: string
  chatflowId: string
  messageId: string
  text: string
  /** Members for /chat/predict. */
  result: Record<string, unknown>
  /** Members for Flowise's own path, without ids. */
  flowiseResult: Record<string, unknown>
  followUpPrompts?: string
  chargedMicro: number
  availableMicro: number
  ending: Ending
  code?: ErrorCode
}

/** The result of an ended exchange; `fields` are the members of an answer that may leave the gateway. */
export function resultOf(exchange: Exchange, outcome: Outcome, fields: readonly string[]): PredictionResult {
  const { transcript, receipt } = exchange
  const { answer, ending, code } = outcome
  const streamed = { text: transcript.text, ...transcript.data }
  const followUpPrompts = answer?.followUpPrompts ?? transcript.followUpPrompts
  return {
    sessionId: exchange.sessionId,
    chatflowId: exchange.chatflow.id,
    messageId: exchange.messageId,
    text: answer?.text ?? transcript.text,
    result: answer ? filterResult(answer.result, fields) : streamed,
    flowiseResult: answer ? filterFlowiseResult(answer.result, fields) : streamed,
    ...(followUpPrompts === undefined ? {} : { followUpPrompts }),
    chargedMicro: receipt?.chargedMicro ?? 0,
    availableMicro: receipt?.availableMicro ?? 0,
    ending,
    ...(code === undefined ? {} : { code })
  }
}

/** A stored result, read back; undefined if the process that made it died before there was one. */
export function readStoredResult(stored: unknown): PredictionResult | undefined {
  return isRecord(stored) && typeof stored.messageId === 'string' ? (stored as unknown as PredictionResult) : undefined
}

/** The money of a result as clients read it. */
export function receiptView({ chargedMicro, availableMicro }: PredictionResult): ReceiptView {
  return { credits_charged: chargedMicro / MICRO, credits_remaining: availableMicro / MICRO }
}

/** The reply of /chat/predict. */
export function gatewayReply(result: PredictionResult) {
  return {
    response: result.text,
    result: result.result,
    session_id: result.sessionId,
    chatflow_id: result.chatflowId,
    ...receiptView(result),
    message_id: result.messageId
  }
}

/** The reply on Flowise's own path: Flowise's JSON with the client's own id and the gateway's message id. */
export function flowiseReply(result: PredictionResult, clientChatId: string) {
  return {
    text: result.text,
    ...result.flowiseResult,
    chatId: clientChatId,
    sessionId: clientChatId,
    chatMessageId: result.messageId,
    ...receiptView(result)
  }
}
