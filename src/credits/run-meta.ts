import type { Meta } from './hold-writes.ts'
import type { Ending } from './outcome.ts'
import type { Price, Tokens } from './pricing.ts'

/** What a run is known by in the books. */
export interface RunNames {
  /** Empty: of none. */
  readonly sessionId: string
  readonly messageId: string
  /** Absent: a prediction. */
  readonly purpose?: 'upsert'
}

/** The API key or embed token that a run came with. */
export interface RunKey {
  readonly keyId: string
  /** Null: the owner of the key. */
  readonly visitorId: string | null
}

/** How a run ended, apart from its money. */
export interface RunEnd {
  readonly ending: Ending
  readonly durationMs: number
  /** From the start; absent when nothing arrived. */
  readonly firstAnswerMs?: number | undefined
}

/** What the entry that a run begins with tells; if the run expires, that is all there will be. */
export function beginningOf({ sessionId, messageId, purpose }: RunNames, key: RunKey | null, price: Price): Meta {
  const meta: Meta = { sessionId: sessionId === '' ? null : sessionId, messageId }
  if (purpose) meta['purpose'] = purpose
  if (key) meta['keyId'] = key.keyId
  if (key && key.visitorId !== null) meta['visitorId'] = key.visitorId
  if (price.kind === 'flat') return meta
  meta['per1kTokensMicro'] = price.per1kTokensMicro
  if (price.per1kOutputMicro !== undefined) meta['per1kOutputMicro'] = price.per1kOutputMicro
  return meta
}

/** The same for the entry of its end. What that adds is information, not money: no sum is made of it but in reports. */
export function endOf(
  beginning: Meta,
  { ending, durationMs, firstAnswerMs }: RunEnd,
  tokens: Tokens | undefined
): Meta {
  const meta: Meta = { ...beginning, ending, durationMs }
  if (firstAnswerMs !== undefined) meta['firstAnswerMs'] = firstAnswerMs
  if (!tokens) return meta
  meta['totalTokens'] = tokens.total
  if (tokens.input !== undefined) meta['inputTokens'] = tokens.input
  if (tokens.output !== undefined) meta['outputTokens'] = tokens.output
  if (tokens.modelCost !== undefined) meta['modelCost'] = tokens.modelCost
  return meta
}
