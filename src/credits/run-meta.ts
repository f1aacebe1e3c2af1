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
  readonly firstAnswerMs?: number
}

/** What the entry that a run begins with tells; if the run expires, that is all there will be. */
export function beginningOf(names: RunNames, key: RunKey | null, price: Price): Meta {
  const { sessionId, messageId, purpose } = names
  return {
    sessionId: sessionId === '' ? null : sessionId,
    messageId,
    ...(purpose && { purpose }),
    ...(key && { keyId: key.keyId }),
    ...(key && key.visitorId !== null && { visitorId: key.visitorId }),
    ...(price.kind === 'metered' && { per1kTokensMicro: price.per1kTokensMicro }),
    ...(price.kind === 'metered' &&
      price.per1kOutputMicro !== undefined && { per1kOutputMicro: price.per1kOutputMicro })
  }
}

/** What the entry of its end adds. Information, not money: no sum is made of it but in reports. */
export function endOf({ ending, durationMs, firstAnswerMs }: RunEnd, tokens: Tokens | undefined): Meta {
  return {
    ending,
    durationMs,
    ...(firstAnswerMs !== undefined && { firstAnswerMs }),
    ...(tokens && { totalTokens: tokens.total }),
    ...(tokens?.input !== undefined && { inputTokens: tokens.input }),
    ...(tokens?.output !== undefined && { outputTokens: tokens.output }),
    ...(tokens?.modelCost !== undefined && { modelCost: tokens.modelCost })
  }
}
