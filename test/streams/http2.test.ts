import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { settled, stored, textOf } from '../prediction/tools.ts'
import { startSecure } from '../server/secure.ts'
import { heard, lastIdOf, messageIdOf, untilIdle, wholeEvents } from './resume.ts'

t.setTimeout(300_000)

const STREAM = '/api/v1/chat/predict/stream'
const ask = { chatflow_id: DEMO_IDS.echo, question: 'hi', sessionId: 's' }

t.test('over HTTP/2: a stream is left, goes on far beyond what fits into its window, and is followed', async (t) => {
  const gateway = await startSecure(t)
  const { standIn, user, connect } = gateway
  const { ask: send } = await connect()
  const words = Array.from({ length: 400 }, (_, n) => ['token', `${n} ${'x'.repeat(500)} `] as const)
  standIn.next({ events: [['token', 'half '], ...words], gates: { 1: 'middle', 399: 'late' } })
  const first = send(STREAM, { token: user.token, body: ask })
  const before = await first.until(/half/)
  first.leave()
  standIn.gate('middle').open()
  await standIn.gate('late').reached
  const { token } = user
  const followers = [
    send('/api/v1/chat/sessions/s/stream', { token }),
    send(`/api/v1/chat/streams/${messageIdOf(before)}`, { token, headers: { 'last-event-id': lastIdOf(before) ?? '' } })
  ]
  for (const follower of followers) await follower.until(/"397 x/)
  standIn.gate('late').open()
  const text = `half ${words.map(([, word]) => word).join('')}`
  const [whole, rest] = await Promise.all(followers.map(({ ended }) => ended))
  t.equal(textOf(whole ?? ''), text)
  t.equal(heard(before, rest ?? ''), text)
  t.same(
    wholeEvents(rest ?? '')
      .slice(-2)
      .map(({ event }) => event),
    ['metadata', 'end']
  )
  const headers = { 'last-event-id': lastIdOf(rest ?? '') ?? '' }
  t.equal((await send(`/api/v1/chat/streams/${messageIdOf(before)}`, { token, headers }).head).status, 204)
  await untilIdle(gateway)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})
