import t from 'tap'
import { settled, stored, textOf } from '../prediction/tools.ts'
import { heard, lastIdOf, messageIdOf, startResumable, untilIdle, wholeEvents } from './resume.ts'

t.setTimeout(300_000)

const HALVES = [
  ['start', ''],
  ['token', 'half'],
  ['token', ' rest']
] as const

t.test('a client that comes back gets the rest, without a gap and without a duplicate', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user } = gateway
  standIn.next({ events: HALVES, gates: { 2: 'middle' } })
  const first = stream()
  const before = await first.until(/half/)
  t.equal((await first.head).headers['content-location'], `/api/v1/chat/streams/${messageIdOf(before)}`)
  first.leave()
  const second = resume(messageIdOf(before), { after: lastIdOf(before) })
  standIn.gate('middle').open()
  const after = await second.ended
  t.equal((await second.head).headers['content-type'], 'text/event-stream; charset=utf-8')
  const all = [...wholeEvents(before), ...wholeEvents(after)]
  t.same(
    all.map(({ id, event }) => [id, event]),
    ['session_id', 'start', 'token', 'token', 'metadata', 'end'].map((event, index) => [String(index + 1), event])
  )
  t.equal(textOf(before + after), 'half rest')
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  t.match(await stored(gateway).messages(), [{ role: 'user' }, { content: 'half rest', status: 'complete' }])
  t.equal(standIn.aborts.length, 0)
  await settled(t, gateway, user.id)
})

t.test('it goes on without anybody, and the answer is there for whoever comes later', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user } = gateway
  standIn.next({ events: HALVES, gates: { 2: 'middle' } })
  const first = stream()
  const before = await first.until(/half/)
  first.leave()
  standIn.gate('middle').open()
  await untilIdle(gateway)
  t.match(await stored(gateway).messages(), [{ role: 'user' }, { content: 'half rest', status: 'complete' }])
  const messageId = messageIdOf(before)
  const rest = await resume(messageId, { after: lastIdOf(before) }).ended
  t.equal(heard(before, rest ?? ''), 'half rest')
  const whole = await resume(messageId).ended
  t.equal(whole, before + rest, 'and all of it, byte for byte')
  const again = resume(messageId, { after: lastIdOf(whole) })
  t.equal((await again.head).status, 204, 'a browser that reconnects after the end is told to stop')
  t.equal(await again.ended, '')
  await settled(t, gateway, user.id)
})

t.test('a second tab watches from the beginning, by message or by session', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user, request } = gateway
  standIn.next({ events: HALVES, gates: { 2: 'middle' } })
  const first = stream({ sessionId: 's' })
  const watchers = [resume(messageIdOf(await first.until(/half/))), resume('', { session: 's' })]
  for (const watcher of watchers) await watcher.until(/half/)
  standIn.gate('middle').open()
  const [text, ...others] = await Promise.all([first, ...watchers].map(({ ended }) => ended))
  t.same(others, [text, text])
  const none = await request('GET', '/api/v1/chat/sessions/s/stream', { token: user.token })
  t.equal(none.statusCode, 204)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('a stop ends it for everybody, with metadata and end', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user, request } = gateway
  standIn.next({ events: HALVES, gates: { 2: 'middle' } })
  const first = stream({ sessionId: 's' })
  const messageId = messageIdOf(await first.until(/half/))
  const second = resume(messageId)
  await second.until(/half/)
  first.leave()
  const reply = await request('POST', '/api/v1/chat/sessions/s/stop', { token: user.token })
  t.match(reply.json(), { stopped: true })
  const names = wholeEvents(await second.ended).map(({ event }) => event)
  t.same(names, ['session_id', 'start', 'token', 'metadata', 'end'])
  await standIn.waitFor(() => standIn.aborts.length === 1)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('when nobody has come back in time it is stopped, and what was delivered is charged', async (t) => {
  const gateway = await startResumable(t, { RESUME_SECONDS: '0.3' })
  const { standIn, stream, resume, user } = gateway
  standIn.next({ events: HALVES, gates: { 2: 'middle' } })
  const first = stream()
  const before = await first.until(/half/)
  first.leave()
  const second = resume(messageIdOf(before))
  await second.until(/half/)
  second.leave()
  await standIn.waitFor(({ method }) => method === 'PUT')
  await untilIdle(gateway)
  t.match(await stored(gateway).messages(), [{ role: 'user' }, { content: 'half', status: 'incomplete' }])
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('a failure before the first event is told to those who wait, as a status', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user, app } = gateway
  standIn.next({ status: 500, body: '{}', gates: { head: 'here' } })
  const first = stream({ sessionId: 's' })
  await standIn.gate('here').reached
  const [exchange] = app.exchanges.values()
  const waiting = [resume(exchange?.messageId ?? ''), resume('', { session: 's' })]
  first.leave()
  while (app.liveStreams.followers < 2) await new Promise((resolve) => void setTimeout(resolve, 5))
  standIn.gate('here').open()
  for (const { head } of waiting) t.equal((await head).status, 502)
  t.equal((await resume(exchange?.messageId ?? '').head).status, 502, 'for some time')
  await settled(t, gateway, user.id)
})

t.test('who has all that was said so far hears at once that it goes on', async (t) => {
  const { standIn, stream, resume } = await startResumable(t)
  standIn.next({
    events: [
      ['token', 'half'],
      ['token', ' rest']
    ],
    gates: { 1: 'middle' }
  })
  const first = stream()
  const before = await first.until(/half/)
  const second = resume(messageIdOf(before), { after: lastIdOf(before) })
  t.equal((await second.head).status, 200)
  standIn.gate('middle').open()
  t.equal(heard(before, await second.ended), 'half rest')
  await first.ended
})
