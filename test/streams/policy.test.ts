import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { idle, open, settled, stored, textOf } from '../prediction/tools.ts'
import { heard, lastIdOf, messageIdOf, startResumable, untilIdle } from './resume.ts'

t.setTimeout(300_000)

const { echo } = DEMO_IDS
const FLOWISE = `/api/v1/prediction/${echo}`
const GATEWAY = '/api/v1/chat/predict/stream'
const HALVES = [
  ['token', 'half'],
  ['token', ' rest']
] as const

/** Path, streaming, what the chatflow says, and whether the run goes on without its client. */
const CASES = [
  [GATEWAY, true, undefined, true],
  [GATEWAY, true, { continue_seconds: 600 }, true],
  [GATEWAY, true, { continue_seconds: 0 }, false],
  ['/api/v1/chat/predict', true, undefined, true],
  ['/api/v1/chat/predict', false, { continue_seconds: 600 }, false],
  [FLOWISE, true, undefined, false],
  [FLOWISE, true, { continue_seconds: 600 }, true],
  [FLOWISE, false, { continue_seconds: 600 }, false]
] as const

for (const [path, streaming, on_disconnect, goesOn] of CASES)
  t.test(
    `${path} ${streaming}, ${JSON.stringify(on_disconnect)}: leaving ${goesOn ? 'does not stop' : 'stops'}`,
    async (t) => {
      const gateway = await startResumable(t)
      const { standIn, stream, user, configure } = gateway
      if (on_disconnect) t.equal((await configure({ on_disconnect })).statusCode, 200)
      const gates = streaming ? { 1: 'middle' } : { body: 'middle' }
      standIn.next({ events: HALVES, gates, ...(streaming ? {} : { answer: {} }) })
      const wire = stream({ sessionId: 's', chatId: 's', streaming }, path)
      await standIn.gate('middle').reached
      if (streaming) await wire.until(/half/)
      wire.leave()
      if (!goesOn) await standIn.waitFor(({ method }) => method === 'PUT')
      else await pause(50)
      standIn.gate('middle').open()
      await untilIdle(gateway)
      t.equal(standIn.aborts.length, goesOn ? 0 : 1)
      const [, answer] = await stored(gateway).messages('s')
      if (streaming)
        t.match(
          answer,
          goesOn ? { content: 'half rest', status: 'complete' } : { content: 'half', status: 'incomplete' }
        )
      t.same(await stored(gateway).charges(user.id), streaming ? [1_000_000] : [])
      await settled(t, gateway, user.id)
    }
  )

t.test('the policy of a chatflow is set, shown, and set back by its administrator', async (t) => {
  const { configure } = await startResumable(t)
  t.same((await configure({ on_disconnect: { continue_seconds: 1.5 } })).json().on_disconnect, {
    continue_seconds: 1.5
  })
  t.same((await configure({ price: 2 })).json().on_disconnect, { continue_seconds: 1.5 })
  t.equal((await configure({ on_disconnect: null })).json().on_disconnect, null)
  for (const on_disconnect of [
    { continue_seconds: -1 },
    { continue_seconds: 601 },
    { continue_seconds: '' },
    {},
    30,
    []
  ])
    t.equal((await configure({ on_disconnect })).statusCode, 422, JSON.stringify(on_disconnect))
})

t.test('where leaving stops, nothing is kept and nobody can follow', async (t) => {
  const gateway = await startResumable(t, { RESUME_SECONDS: '0' })
  const { standIn, stream, resume, user, app, request } = gateway
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const wire = stream({ sessionId: 's' })
  const messageId = messageIdOf(await wire.until(/half/))
  t.equal((await wire.head).headers['content-location'], undefined)
  t.equal(app.liveStreams.keptBytes, 0)
  for (const path of [`streams/${messageId}`, 'sessions/s/stream']) {
    const reply = await request('GET', `/api/v1/chat/${path}`, { token: user.token })
    t.same([reply.statusCode, reply.json().code, reply.headers['retry-after']], [409, 'request_in_progress', '2'])
  }
  standIn.gate('middle').open()
  await wire.ended
  t.equal(textOf(await resume(messageId).ended), 'half rest', 'the answer is in the history')
})

t.test('a client that reads nothing and leaves no longer slows the run that goes on', async (t) => {
  const gateway = await startResumable(t, { MAX_ANSWER_MB: '100', STREAM_IDLE_TIMEOUT_MS: '2000' })
  const { standIn, url, user, app } = gateway
  const token = 'x'.repeat(262_144)
  standIn.next({ events: Array.from({ length: 120 }, () => ['token', token] as const) })
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  const wire = open(`${url}${GATEWAY}`, { token: user.token, body, isPaused: true })
  await wire.head
  const seen = await standIn.waitFor(({ url: asked }) => asked.includes('/prediction/'))
  let before = -1
  while (before !== seen.sentBytes) {
    before = seen.sentBytes
    await pause(100)
  }
  t.ok(seen.sentBytes < 25_000_000, 'it was slowed')
  wire.leave()
  await untilIdle(gateway)
  t.ok(seen.isAnswered, 'all of it has been read')
  t.ok(app.liveStreams.keptBytes < 300_000)
  t.match((await stored(gateway).messages('s'))[1], { status: 'complete', truncated: true })
  await settled(t, gateway, user.id)
})

t.test('a drain gives a run without a client its time, then ends it', async (t) => {
  const gateway = await startResumable(t, { DRAIN_SECONDS: '0.3' })
  const { standIn, stream, user, app } = gateway
  const leave = async (sessionId: string, gate: string) => {
    standIn.next({ events: HALVES, gates: { 1: gate } })
    const wire = stream({ sessionId })
    await wire.until(/half/)
    wire.leave()
  }
  await leave('ends', 'soon')
  await leave('hangs', 'never')
  const drained = app.lifecycle.beginDrain()
  standIn.gate('soon').open()
  await drained
  await idle(gateway)
  t.match((await stored(gateway).messages('ends'))[1], { content: 'half rest', status: 'complete' })
  t.match((await stored(gateway).messages('hangs'))[1], { content: 'half', status: 'incomplete', code: 'draining' })
  t.same(await stored(gateway).charges(user.id), [1_000_000, 1_000_000])
  await settled(t, gateway, user.id)
})

t.test('a repeated key says where the first answer can be followed', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, url, user, request, resume } = gateway
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const headers = { 'idempotency-key': 'k' }
  const body = { chatflow_id: echo, question: 'hi' }
  const first = open(`${url}${GATEWAY}`, { token: user.token, body, headers })
  const before = await first.until(/half/)
  first.leave()
  const again = await request('POST', GATEWAY, { token: user.token, body, headers })
  const messageId = messageIdOf(before)
  t.match(again.json(), { status: 409, code: 'request_in_progress', message_id: messageId })
  t.equal(again.headers['content-location'], `/api/v1/chat/streams/${messageId}`)
  const second = resume(again.json().message_id, { after: lastIdOf(before) })
  standIn.gate('middle').open()
  t.equal(heard(before, await second.ended), 'half rest')
  const replay = await request('POST', GATEWAY, { token: user.token, body, headers })
  t.equal(textOf(replay.body), 'half rest')
  t.equal(standIn.predictions.length, 1)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})
