import { isoInstant } from '../clock.ts'
import { Credits, Instant, Nullable, type Static, Type } from '../schema.ts'
import type { RunRecord } from './receipts.ts'

const Milliseconds = Nullable(Type.Integer({ description: 'milliseconds' }))
const Count = Nullable(Type.Integer())

/** What one prediction used and cost, as its owner sees it. */
export const Receipt = Type.Object({
  message_id: Nullable(Type.String()),
  session_id: Nullable(Type.String()),
  chatflow_id: Type.String(),
  api_key_id: Nullable(Type.String()),
  state: Type.String({
    enum: ['held', 'settled', 'released', 'expired', 'free', 'pending', 'refused'],
    description:
      'held: it runs; expired: its process died; free: there was nothing to pay; pending and refused only where another service keeps the balance'
  }),
  credits_held: Credits,
  credits_charged: Credits,
  price: Type.Object({
    kind: Type.String({ enum: ['flat', 'metered'] }),
    amount: Type.Optional(Type.Number({ description: 'credits; of a flat price' })),
    per_1k_tokens: Type.Optional(Type.Number({ description: 'credits; of a metered price' })),
    per_1k_output_tokens: Type.Optional(Type.Number({ description: 'credits, where output has a price of its own' }))
  }),
  tokens: Nullable(Type.Object({ input: Count, output: Count, total: Type.Integer() })),
  estimated: Type.Boolean({ description: "the tokens are the gateway's own count: the flow reported none" }),
  model_cost: Nullable(Type.Number({ description: "what the flow reported as its models' cost, in their currency" })),
  ending: Nullable(Type.String({ description: 'how it ended: completed, stopped, failed_after_output, …' })),
  started_at: Instant,
  ended_at: Nullable(Instant),
  duration_ms: Milliseconds,
  first_answer_ms: Milliseconds,
  transaction_id: Nullable(Type.String())
})

export interface ReceiptViewOptions {
  /** Micro-credits to credits. */
  toCredits: (micro: number) => number
}

export type ReceiptView = (record: RunRecord) => Static<typeof Receipt>

/** The view of a record with amounts in credits. */
export function createReceiptView({ toCredits }: ReceiptViewOptions): ReceiptView {
  function priceOf({ meta, heldMicro }: RunRecord): Static<typeof Receipt>['price'] {
    const metered = number(meta['per1kTokensMicro'])
    if (metered === null) return { kind: 'flat', amount: toCredits(heldMicro) }
    const output = number(meta['per1kOutputMicro'])
    const price = { kind: 'metered', per_1k_tokens: toCredits(metered) }
    return output === null ? price : { ...price, per_1k_output_tokens: toCredits(output) }
  }

  return function receiptView(record) {
    const { chatflowId, state, heldMicro, chargedMicro, startedAt, endedAt, meta, transactionId } = record
    const total = number(meta['totalTokens'])
    return {
      message_id: text(meta['messageId']),
      session_id: text(meta['sessionId']),
      chatflow_id: chatflowId,
      api_key_id: text(meta['keyId']),
      state,
      credits_held: toCredits(heldMicro),
      credits_charged: toCredits(chargedMicro),
      price: priceOf(record),
      tokens:
        total === null ? null : { input: number(meta['inputTokens']), output: number(meta['outputTokens']), total },
      estimated: meta['isEstimated'] === true,
      model_cost: number(meta['modelCost']),
      ending: text(meta['ending']),
      started_at: isoInstant(startedAt),
      ended_at: endedAt === undefined ? null : isoInstant(endedAt),
      duration_ms: number(meta['durationMs']),
      first_answer_ms: number(meta['firstAnswerMs']),
      transaction_id: transactionId
    }
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
