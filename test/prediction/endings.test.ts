import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, open, settled, stored, textOf, type Wire } from './tools.ts'

const { echo } = DEMO_IDS

t.setTimeout(300_000)

const TOKENS: NonNullable<Fault['events']> = [
  ['start', ''],
  ['token', 'half'],
  ['token', ' rest']
]

/** Where a run stands when it is ended: the gate that holds it, and what has been delivered by then. */
const MOMENTS = [
  { name: 'before the head', gates: { head: 'here' }, text: '' },
  { name: 'after the head', gates: { body: 'here' }, text: '' },
  { name: 'after an event without output', gates: { 1: 'here' }, text: '' },
  { name: 'after a token', gates: { 2: 'here' }, text: 'half' },
  { name: 'at the last moment', gates: { end: 'here' }, text: 'half rest' }
] as const

async function start(t: Parameters<typeof startStreams>[0], path = '/api/v1/chat/predict/stream') {
  const gateway = await startStreams(t, { DRAIN_SECONDS: '0.05', RESUME_SECONDS: '0' })
  const { url, user, standIn, request } = gateway
  /** A run that stands at its gate. */
  async function runTo(gates: NonNullable<Fault['gates']>, text: string): Promise<Wire> {
    standIn.next({ events: TOKENS, gates })
    const body = { chatflow_id: echo, question: 'hi', sessionId: 's', streaming: true }
    const wire = open(`${url}${path}`, { token: user.token, body })
    await standIn.gate('here').reached
    if (text !== '') await wire.until(text === 'half' ? /half/ : /rest/)
    return wire
  }
  /** The run was settled once and the history is what was delivered. */
  async function check(text: string): Promise<void> {
    await settled(t, gateway, user.id)
    t.equal(gateway.app.exchanges.size, 0)
    t.same(await stored(gateway).charges(user.id), text === '' ? [] : [1_000_000])
    const outcomes = (await stored(gateway).entries(user.id)).filter(({ id }) => id.endsWith(':T'))
    t.equal(outcomes.length, 1, 'settled exactly once')
    const [question, answer] = await stored(gateway).messages('s')
    t.equal(question?.status, text === '' ? 'failed' : 'complete')
    t.equal(answer?.content ?? '', text)
    t.equal(answer?.status, text === '' ? undefined : 'incomplete')
    const again = await request('POST', '/api/v1/chat/predict', {
      token: user.token,
      body: { chatflow_id: echo, question: 'hi', sessionId: 's' }
    })
    t.equal(again.statusCode, 200, 'the session is usable')
  }
  /** Flowise was asked to stop this run, within a second of `sinceMs`. */
  async function aborted(sinceMs: number): Promise<void> {
    const run = standIn.predictions[0]
    const abort = await standIn.waitFor(({ method, url: asked }) => method === 'PUT' && asked.includes('/abort/'))
    t.equal(abort.url, `/api/v1/chatmessage/abort/${echo}/${Object(run?.body).chatId}`)
    t.ok(performance.now() - sinceMs < 1000)
    await standIn.waitFor((seen) => seen === run && seen.isLeft)
  }
  return { ...gateway, runTo, check, aborted }
}

for (const { name, gates, text } of MOMENTS) {
  t.test(`a client that leaves ${name}`, async (t) => {
    const { runTo, check, aborted } = await start(t)
    const wire = await runTo(gates, text)
    const leftAt = performance.now()
    wire.leave()
    await aborted(leftAt)
    await check(text)
  })

  t.test(`a stop ${name}`, async (t) => {
    const { runTo, check, aborted, request, user } = await start(t)
    const wire = await runTo(gates, text)
    const stoppedAt = performance.now()
    const reply = await request('POST', '/api/v1/chat/sessions/s/stop', { token: user.token })
    t.match(reply.json(), { session_id: 's', stopped: true })
    const told = await wire.ended
    await aborted(stoppedAt)
    t.equal(textOf(told), text)
    const events = eventsOf(told)
    t.same(
      events.slice(-2).map(({ event }) => event),
      ['metadata', 'end']
    )
    t.match(events.at(-2)?.data, { data: { credits_charged: text === '' ? 0 : 1 } })
    await check(text)
    const nothing = await request('POST', '/api/v1/chat/sessions/s/stop', { token: user.token })
    t.match(nothing.json(), { stopped: false })
  })

  t.test(`a stop on Flowise's own path ${name}`, async (t) => {
    const { runTo, check, aborted, request, user } = await start(t, `/api/v1/prediction/${echo}`)
    // On this path the client's chatId names the session; sessionId is taken where there is none.
    const wire = await runTo(gates, text)
    const stoppedAt = performance.now()
    const reply = await request('PUT', `/api/v1/chatmessage/abort/${echo}/s`, { token: user.token })
    t.same([reply.statusCode, reply.json().status], [200, 200])
    const told = await wire.ended
    await aborted(stoppedAt)
    t.equal(textOf(told), text)
    t.match(told, /"event":"abort","data":"\[DONE\]"\}\n\nmessage:\ndata:\{"event":"end","data":"\[DONE\]"\}\n\n$/)
    await check(text)
  })

  t.test(`a drain ${name}`, async (t) => {
    const { runTo, app, standIn, user, ...gateway } = await start(t)
    const wire = await runTo(gates, text)
    const drained = app.lifecycle.beginDrain()
    const body = { chatflow_id: echo, question: 'hi' }
    const refused = await gateway.request('POST', '/api/v1/chat/predict', { token: user.token, body })
    t.same([refused.statusCode, refused.json().code], [503, 'draining'])
    t.ok(refused.headers['retry-after'])
    const told = await wire.ended
    await drained
    const hasBegun = !['before the head', 'after the head'].includes(name)
    if (hasBegun) {
      t.match(eventsOf(told).at(-2)?.data, { event: 'error', code: 'draining', status: 503 })
      t.equal(eventsOf(told).at(-1)?.event, 'end')
    } else {
      t.equal((await wire.head).status, 503)
      t.match(JSON.parse(told), { code: 'draining' })
    }
    t.ok(await standIn.waitFor(({ method }) => method === 'PUT'))
    await settled(t, { app }, user.id)
    t.same(await stored({ app }).charges(user.id), text === '' ? [] : [1_000_000])
  })
}

t.test('someone else cannot stop a run, and is not told of it', async (t) => {
  const { runTo, request, createUser, standIn, user, ...gateway } = await start(t)
  const other = await createUser({ grants: [echo] })
  const wire = await runTo({ 2: 'here' }, 'half')
  t.equal((await request('POST', '/api/v1/chat/sessions/s/stop', { token: other.token })).statusCode, 404)
  t.equal((await request('PUT', `/api/v1/chatmessage/abort/${echo}/s`, { token: other.token })).statusCode, 200)
  t.equal(standIn.aborts.length, 0)
  standIn.gate('here').open()
  t.equal(textOf(await wire.ended), 'half rest')
  await settled(t, gateway, user.id)
})

t.test('a JSON prediction is stopped, left and drained as well', async (t) => {
  const gateway = await startStreams(t)
  const { url, user, standIn, request } = gateway
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  standIn.next({ gates: { head: 'left' } })
  const left = open(`${url}/chat/predict`, { token: user.token, body })
  await standIn.gate('left').reached
  left.leave()
  await standIn.waitFor(({ method }) => method === 'PUT')
  await settled(t, gateway, user.id)
  standIn.next({ gates: { head: 'stopped' } })
  const stopped = open(`${url}/chat/predict`, { token: user.token, body })
  await standIn.gate('stopped').reached
  await request('POST', '/api/v1/chat/sessions/s/stop', { token: user.token })
  t.match(JSON.parse(await stopped.ended), { status: 502, code: 'upstream_incomplete' })
  t.same(await stored(gateway).charges(user.id), [])
  await settled(t, gateway, user.id)
})

t.test('a client that leaves after the end has had its answer', async (t) => {
  const gateway = await startStreams(t)
  const { url, user, standIn } = gateway
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  const wire = open(`${url}/chat/predict/stream`, { token: user.token, body })
  await wire.until(/event: end\n/)
  wire.leave()
  await settled(t, gateway, user.id)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  t.equal((await stored(gateway).messages('s'))[1]?.status, 'complete')
  t.equal(standIn.aborts.length, 0)
})

t.test('a client that leaves while Flowise is asked whether the flow streams', async (t) => {
  const gateway = await startStreams(t, { RESUME_SECONDS: '0' })
  const { url, user, standIn } = gateway
  standIn.next({ gates: { head: 'lookup' }, body: '{"isStreaming":true}' }, /chatflows-streaming/)
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  const wire = open(`${url}/chat/predict/stream`, { token: user.token, body })
  await standIn.gate('lookup').reached
  wire.leave()
  await settled(t, gateway, user.id)
  standIn.gate('lookup').open()
  const again = await gateway.request('POST', '/api/v1/chat/predict', { token: user.token, body })
  t.equal(again.statusCode, 200)
  t.equal(standIn.predictions.length, 1, 'the first never reached Flowise')
  t.same(await stored(gateway).charges(user.id), [1_000_000])
})
