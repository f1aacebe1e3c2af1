import type { Test } from 'tap'
import type { Walker } from './walker.ts'

/** Who comes back to a stream, and what it cost. */
export async function comeBack(
  t: Test,
  { visit }: Walker,
  { token, chatflowId }: { token: string; chatflowId: string }
): Promise<void> {
  const body = { chatflow_id: chatflowId, question: 'Tell me something', sessionId: `back-${chatflowId}` }
  const { events, headers } = await visit('a stream', 'POST', '/api/v1/chat/predict/stream', { token, body })
  const path = headers.get('content-location') ?? ''
  const rest = await visit('the rest of it', 'GET', path, { token, headers: { 'last-event-id': '2' } })
  t.same(rest.events, events.slice(2))
  const lastId = events.at(-1)?.id ?? ''
  await visit('no more', 'GET', `${path}?last_event_id=${lastId}`, { token, status: 204 })
  await visit('nothing runs', 'GET', `/api/v1/chat/sessions/${body.sessionId}/stream`, { token, status: 204 })
  const receipt = await visit('what it cost', 'GET', `/api/v1/chat/receipts/${path.split('/').at(-1)}`, { token })
  t.match(receipt.json, { state: 'settled', credits_charged: 1 })
  await visit('all I used', 'GET', '/api/v1/chat/usage?group_by=day,chatflow', { token })
}
