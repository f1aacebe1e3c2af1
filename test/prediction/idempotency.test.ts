import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { eventsOf, settled, stored, textOf } from './tools.ts'

const { echo } = DEMO_IDS

async function start(t: Parameters<typeof buildTestApp>[0], { credits = 10, env = {} } = {}) {
  const gateway = await buildTestApp(t, { env: { FIRST_BYTE_TIMEOUT_MS: '300', ...env } })
  const user = await gateway.createUser({ grants: [echo], ...(credits > 0 ? { credits } : {}) })
  interface Ask {
    path?: string
    token?: string
    [member: string]: unknown
  }
  const ask = (key: string, { path = '/chat/predict', token = user.token, ...body }: Ask = {}) =>
    gateway.request('POST', `/api/v1${path}`, {
      token,
      headers: { 'idempotency-key': key },
      body: { chatflow_id: echo, question: 'hi', ...body }
    })
  return { ...gateway, user, ask }
}

t.test('the same key and body again give the stored reply, once sent and once charged', async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user } = gateway
  const first = await ask('k')
  t.equal(first.statusCode, 200)
  t.equal(first.headers['idempotency-replayed'], undefined)
  const second = await ask('k')
  t.equal(second.statusCode, 200)
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.same(second.json(), first.json())
  t.equal(standIn.predictions.length, 1)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  t.equal((await stored(gateway).messages()).length, 2)
  await settled(t, gateway, user.id)
})

t.test('a streamed prediction is replayed as a stream, also in the other form', async (t) => {
  const { ask, standIn } = await start(t)
  const first = await ask('k', { path: '/chat/predict/stream', question: 'one two three' })
  t.match(first.headers['content-type'], 'text/event-stream')
  const again = await ask('k', { path: '/chat/predict/stream', question: 'one two three' })
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(again.headers['content-type'], 'text/event-stream; charset=utf-8')
  t.equal(again.headers['cache-control'], 'no-cache, no-transform')
  const events = eventsOf(again.body)
  t.same(
    events.map(({ id, event }) => [id, event]),
    [
      ['1', 'session_id'],
      ['1000000001', 'token'],
      ['1000000002', 'metadata'],
      ['1000000003', 'end']
    ],
    'ids that the stream itself never had'
  )
  t.equal(textOf(again.body), 'one two three')
  const of = (body: string, event: string) => eventsOf(body).find((found) => found.event === event)?.data
  t.same(of(again.body, 'metadata'), of(first.body, 'metadata'))
  const json = await ask('k', { question: 'one two three' })
  t.equal(json.json().response, 'one two three')
  t.equal(standIn.predictions.length, 1)
})

t.test('while the first is running: 409 with Retry-After; another body: 422; another user: another key', async (t) => {
  const { ask, standIn, createUser } = await start(t)
  standIn.next({ gates: { head: 'running' } })
  const first = ask('k')
  await standIn.gate('running').reached
  const second = await ask('k')
  t.same([second.statusCode, second.json().code], [409, 'request_in_progress'])
  t.ok(Number(second.headers['retry-after']) >= 1)
  t.same((await ask('k', { question: 'other' })).json().code, 'idempotency_mismatch')
  standIn.gate('running').open()
  t.equal((await first).statusCode, 200)
  const mismatch = await ask('k', { question: 'other' })
  t.same([mismatch.statusCode, mismatch.json().code], [422, 'idempotency_mismatch'])
  t.equal((await ask('k', { sessionId: 'other' })).statusCode, 422)
  const other = await createUser({ grants: [echo], credits: 5 })
  const theirs = await ask('k', { token: other.token, question: 'other' })
  t.equal(theirs.statusCode, 200)
  t.equal(theirs.headers['idempotency-replayed'], undefined)
  t.equal(standIn.predictions.length, 2)
})

t.test('many requests with one key at once are one prediction', async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user } = gateway
  const replies = await Promise.all(Array.from({ length: 20 }, () => ask('k')))
  const statuses = new Set(replies.map(({ statusCode }) => statusCode))
  t.ok([...statuses].every((status) => status === 200 || status === 409))
  t.equal(standIn.predictions.length, 1)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('refused before the hold: the key works once the reason is gone', async (t) => {
  const gateway = await start(t, { credits: 0 })
  const { ask, app, user } = gateway
  t.equal((await ask('k')).statusCode, 402)
  t.equal((await ask('k')).statusCode, 402)
  await app.ledger.change(user.id, { key: 'top-up', kind: 'grant', amountMicro: 5_000_000, note: '' })
  const reply = await ask('k')
  t.equal(reply.statusCode, 200)
  t.equal(reply.headers['idempotency-replayed'], undefined)
  const other = await gateway.createUser({ grants: [echo], credits: 5 })
  t.equal((await ask('s', { token: other.token, sessionId: 'mine' })).statusCode, 200)
  t.equal((await ask('s', { sessionId: 'mine' })).statusCode, 404)
  await gateway.request('DELETE', '/api/v1/chat/sessions/mine', { token: other.token })
  t.equal((await ask('s', { sessionId: 'mine' })).statusCode, 200)
})

t.test('a failure of the flow is replayed, an outage that cost nothing is not', async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user } = gateway
  standIn.next({ status: 500, body: '{}' })
  t.equal((await ask('failed')).statusCode, 502)
  const again = await ask('failed')
  t.same([again.statusCode, again.json().code], [502, 'upstream_error'])
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(standIn.predictions.length, 1)
  const streamed = await ask('failed', { path: '/chat/predict/stream' })
  t.same([streamed.statusCode, streamed.json().code], [502, 'upstream_error'])

  standIn.next({ hang: true })
  t.equal((await ask('silent')).statusCode, 503)
  t.equal((await ask('silent')).statusCode, 200)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test(
  'a stream that failed after output is replayed with its text and its error, and not charged again',
  async (t) => {
    const gateway = await start(t)
    const { ask, standIn, user } = gateway
    standIn.next({
      events: [
        ['token', 'half'],
        ['error', 'x']
      ]
    })
    const first = await ask('k', { path: '/chat/predict/stream' })
    const again = await ask('k', { path: '/chat/predict/stream' })
    for (const { body } of [first, again]) {
      t.equal(textOf(body), 'half')
      const events = eventsOf(body)
      t.same(
        events.slice(-2).map(({ event }) => event),
        ['error', 'end']
      )
      t.match(events.at(-2)?.data, { code: 'upstream_error', status: 502, credits_charged: 1 })
    }
    t.equal((await ask('k')).statusCode, 502)
    t.same(await stored(gateway).charges(user.id), [1_000_000])
  }
)

t.test('keys are 1 to 128 visible ASCII characters', async (t) => {
  const { ask, standIn } = await start(t)
  for (const key of ['', ' ', 'a b', 'ä', 'x'.repeat(129), 'a\tb']) t.equal((await ask(key)).statusCode, 422, key)
  t.equal(standIn.predictions.length, 0)
  t.equal((await ask('x'.repeat(128))).statusCode, 200)
  t.equal((await ask('!~')).statusCode, 200)
})

t.test('a run whose process died after its charge is answered, and not run again', async (t) => {
  const gateway = await start(t)
  const { ask, app, standIn, user } = gateway
  const first = await ask('k')
  t.equal(first.statusCode, 200)
  const requests = app.store.collection('requests')
  const [row] = await stored(gateway)
    .requests()
    .then((rows) => rows.filter(({ accountId }) => accountId === user.id))
  await requests.update(row?.id ?? '', {}, { set: { state: 'running', createdAt: 0 }, unset: ['receipt', 'aliveAt'] })
  const again = await ask('k')
  t.same([again.statusCode, again.json().code], [502, 'upstream_incomplete'])
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(standIn.predictions.length, 1)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
})
