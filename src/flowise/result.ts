import type { ErrorCode } from '../errors.ts'
import type { ReceiptView } from './dialect.ts'
import type { Ending } from '../credits/outcome.ts'
import type { Exchange, Outcome } from './exchange.ts'
import { isRecord } from './json.ts'
import { type Profile, showsMore } from './profiles.ts'
import type { View } from './redaction.ts'
import type { TokenUsage } from './usage.ts'

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
  /** For whom it was made; absent in results that were kept before there were profiles. */
  profile?: Profile
  /** As the flow reported it. */
  usage?: TokenUsage
  chargedMicro: number
  /** Absent if the books could not be read at its end. */
  availableMicro?: number
  ending: Ending
  code?: ErrorCode
}

/** One of the two forms of a result: that of /chat/predict, or that of Flowise's own path. */
export type ResultForm = 'result' | 'flowiseResult'

/** The result of an ended exchange, as far as it may be seen; where a reply needs one form `only`, the other stays empty. */
export function resultOf(exchange: Exchange, outcome: Outcome, view: View, only?: ResultForm): PredictionResult {
  const { transcript, receipt } = exchange
  const { answer, ending, code } = outcome
  const { usage } = transcript
  const followUpPrompts = answer?.followUpPrompts ?? transcript.followUpPrompts
  const streamed = answer ? undefined : { text: transcript.text, ...transcript.data }
  return {
    sessionId: exchange.sessionId,
    chatflowId: exchange.chatflow.id,
    messageId: exchange.messageId,
    text: answer?.text ?? transcript.text,
    result: streamed ?? (answer && only !== 'flowiseResult' ? view.result(answer.result) : {}),
    flowiseResult: streamed ?? (answer && only !== 'result' ? view.flowiseResult(answer.result) : {}),
    profile: view.profile,
    ...(usage && { usage }),
    ...(followUpPrompts !== undefined && { followUpPrompts }),
    chargedMicro: receipt?.chargedMicro ?? 0,
    ...(receipt?.availableMicro !== undefined && { availableMicro: receipt.availableMicro }),
    ending,
    ...(code !== undefined && { code })
  }
}

/**
 * A stored result, read back; undefined if the process that made it died before there was one. Whoever may see less
 * than the one it was made for gets less of it.
 */
export function readStoredResult(stored: unknown, view: View): PredictionResult | undefined {
  if (!isRecord(stored) || typeof stored.messageId !== 'string') return undefined
  const kept = stored as unknown as PredictionResult
  const { profile = 'member', result, flowiseResult } = kept
  if (!showsMore(profile, view.profile)) return kept
  return { ...kept, result: view.result(result), flowiseResult: view.flowiseResult(flowiseResult) }
}

/** The money of a result as clients read it. */
export function receiptView({
  chargedMicro,
  availableMicro
}: Pick<PredictionResult, 'chargedMicro' | 'availableMicro'>): ReceiptView {
  const remaining = availableMicro === undefined ? {} : { credits_remaining: availableMicro / MICRO }
  return { credits_charged: chargedMicro / MICRO, ...remaining }
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

/** Who gets a reply on Flowise's own path. */
export interface FlowiseCaller {
  /** The client's own name of the chat. */
  chatId: string
  /** Somebody else pays, and the money is not theirs to see. */
  isStranger: boolean
}

/** The reply on Flowise's own path: Flowise's JSON with the client's own id and the gateway's message id. */
export function flowiseReply(result: PredictionResult, { chatId, isStranger }: FlowiseCaller) {
  return {
    text: result.text,
    ...result.flowiseResult,
    chatId,
    sessionId: chatId,
    chatMessageId: result.messageId,
    ...(isStranger ? {} : receiptView(result))
  }
}
