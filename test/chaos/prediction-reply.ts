import type { Reply } from './load-balancer.ts'

/** Codes that another try with the same key may get past. */
const PASSING =
  /^(store_unavailable|draining|overloaded|session_busy|request_in_progress|too_many_predictions|rate_limited)$/

/** What a client learnt of one try at a prediction. */
export interface Seen {
  kind: Reply['kind']
  status: number
  /** Of an error, as JSON or in the stream. */
  code?: string | undefined
  /** As the reply named them. */
  sessionId?: string | undefined
  messageId?: string | undefined
  /** Credits; undefined unless a receipt came. */
  charged?: number | undefined
  /** Of the answer, as far as it came. */
  text: string
  /** The whole answer came. */
  isComplete: boolean
  isReplay: boolean
  retryAfterMs: number
  at: number
}

/** Reads the reply to a prediction, JSON or stream, also one that broke off. */
export function readPrediction({ kind, status, headers, text, at }: Reply): Seen {
  const retryAfterMs = Number(headers['retry-after'] ?? 1) * 1000
  const seen = { kind, status, isReplay: headers['idempotency-replayed'] === 'true', retryAfterMs, at }
  if (String(headers['content-type']).startsWith('text/event-stream')) return { ...seen, ...readStream(text) }
  if (kind !== 'whole') return { ...seen, text: '', isComplete: false }
  const body = JSON.parse(text)
  if (status !== 200) return { ...seen, code: String(body.code), text: '', isComplete: false }
  const { session_id: sessionId, message_id: messageId, credits_charged: charged, response } = body
  return { ...seen, sessionId, messageId, charged, text: String(response), isComplete: true }
}

/** True when the same key may get another answer: none came, or one that passes. */
export function isWorthRepeating({ kind, code }: Seen): boolean {
  return kind !== 'whole' || (code !== undefined && PASSING.test(code))
}

function readStream(text: string) {
  let answer = ''
  let isEnded = false
  let known: Pick<Seen, 'sessionId' | 'messageId' | 'charged' | 'code'> = {}
  for (const frame of text.split('\n\n').slice(0, -1)) {
    const data = /^data: (.*)$/m.exec(frame)?.[1]
    if (data === undefined) continue
    const event = JSON.parse(data)
    if (event.event === 'session_id') known = { ...known, sessionId: event.data, messageId: event.message_id }
    if (event.event === 'token') answer += event.data
    if (event.event === 'metadata') known = { ...known, charged: event.data.credits_charged }
    if (event.event === 'error') known = { ...known, charged: event.credits_charged, code: event.code }
    if (event.event === 'end') isEnded = true
  }
  return { ...known, text: answer, isComplete: isEnded && known.code === undefined }
}
