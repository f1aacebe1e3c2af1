import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { Agent, request } from 'undici'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, idle, settled, stored, textOf } from '../prediction/tools.ts'
import { openTamperedStore } from '../prediction/tampered-store.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startSecure } from './secure.ts'

const { echo } = DEMO_IDS
const STREAM = '/api/v1/chat/predict/stream'
const FLOWISE = `/api/v1/prediction/${echo}`
const ask = { chatflow_id: echo, question: 'hi', streaming: true }
const RICH: Fault = {
  events: [
    ['start', ''],
    ...Array.from({ length: 50 }, (_, n) => ['token', 'word 🙂 '.repeat(n)] as const),
    ['metadata', { chatId: 'c', chatMessageId: 'm' }]
  ],
  pieceBytes: 7
}

t.test('a stream is byte for byte the same on HTTP/1.1 and HTTP/2', async (t) => {
  const gateway = await startSecure(t, { DEFAULT_CHATFLOW_PRICE: '0' })
  const { standIn, url, user, cert, connect } = gateway
  const http2 = await connect()
  const http1 = new Agent({ connect: { ca: cert }, allowH2: false })
  t.teardown(() => http1.close())
  standIn.always(RICH)
  const headers = { 'x-request-id': 'mine', authorization: `Bearer ${user.token}`, 'content-type': 'application/json' }
  // The id of the answer is new each time.
  const steady = (text: string) => text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'uuid')
  for (const path of [STREAM, FLOWISE, '/api/v1/chat/predict']) {
    const body = { ...ask, sessionId: 'same', streaming: path !== '/api/v1/chat/predict' }
    const old = await request(`${url}${path}`, {
      method: 'POST',
      dispatcher: http1,
      headers,
      body: JSON.stringify(body)
    })
    const oldText = await old.body.text()
    const wire = http2.ask(path, { headers, body })
    const text = await wire.ended
    const head = await wire.head
    t.equal(old.statusCode, 200, path)
    t.equal(steady(text), steady(oldText), `${text.length} bytes`)
    t.equal(head.status, 200)
    const { connection, 'keep-alive': _keep, 'transfer-encoding': chunked, ...others } = old.headers
    t.ok(connection ?? chunked, 'HTTP/1.1 has headers of its connection')
    t.same({ ...head.headers, date: 'now' }, { ...others, date: 'now' })
  }
  await settled(t, gateway, user.id)
})

t.test('twenty predictions at once on one connection', async (t) => {
  const gateway = await startSecure(t)
  const { standIn, user, connect } = gateway
  const { ask: send } = await connect()
  standIn.always({ ...RICH, gates: { 3: 'middle' } })
  const wires = Array.from({ length: 20 }, (_, n) =>
    send(n % 2 === 0 ? STREAM : FLOWISE, { token: user.token, body: ask })
  )
  await Promise.all(wires.map((wire) => wire.until(/"token"/)))
  standIn.gate('middle').open()
  const texts = await Promise.all(wires.map(({ ended }) => ended))
  const first = textOf(texts[0] ?? '')
  t.ok(first.length > 1000)
  for (const text of texts) {
    t.equal(textOf(text), first)
    t.equal(eventsOf(text).at(-1)?.event, 'end')
  }
  await settled(t, gateway, user.id)
  t.equal((await stored(gateway).charges(user.id)).length, 20)
})

t.test('leaving one stream ends that prediction and no other', async (t) => {
  const gateway = await startSecure(t)
  const { standIn, user, connect } = gateway
  const { ask: send, json } = await connect()
  standIn.always({
    events: [
      ['token', 'half'],
      ['token', ' rest']
    ],
    gates: { 1: 'middle' }
  })
  const send1 = (sessionId: string, path = STREAM) => send(path, { token: user.token, body: { ...ask, sessionId } })
  const [left, stays, leftToo] = [send1('a'), send1('b'), send1('c', FLOWISE)]
  await Promise.all([left, stays, leftToo].map((wire) => wire.until(/half/)))
  left.leave()
  leftToo.leave()
  while (standIn.aborts.length < 2) await pause(5)
  t.equal(gateway.app.exchanges.size, 1)
  t.equal((await json('/health')).status, 200, 'the connection goes on')
  standIn.gate('middle').open()
  t.equal(textOf(await stays.ended), 'half rest')
  await settled(t, gateway, user.id)
  const endings = (await stored(gateway).messages()).filter(({ role }) => role === 'assistant')
  t.same(endings.map(({ status }) => status).toSorted(), ['complete', 'incomplete', 'incomplete'])
})

t.test('a connection that breaks ends all of its predictions', async (t) => {
  const gateway = await startSecure(t)
  const { standIn, user, connect } = gateway
  const { ask: send, session } = await connect()
  standIn.always({ events: [['token', 'half']], end: 'open' })
  const paths = [STREAM, FLOWISE, '/api/v1/chat/predict']
  const wires = Array.from({ length: 9 }, (_, n) =>
    send(paths[n % 3] ?? '', { token: user.token, body: { ...ask, streaming: n % 3 !== 2 } })
  )
  await Promise.all(wires.filter((_, n) => n % 3 !== 2).map((wire) => wire.until(/half/)))
  while (standIn.predictions.length < 9) await pause(5)
  session.socket.destroy()
  while (gateway.app.exchanges.size > 0) {
    await idle(gateway)
    await pause(5)
  }
  await settled(t, gateway, user.id)
  t.ok(standIn.predictions.every(({ isLeft }) => isLeft))
})

t.test('who leaves before the prediction has begun owes nothing', async (t) => {
  const reached = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  let isArmed = false
  // The grant is read after the login and before anything watches the client.
  const store = await openTamperedStore(t, async (name, kind) => {
    if (!isArmed || kind !== 'read' || name !== 'chatflows') return
    isArmed = false
    reached.resolve()
    await released.promise
  })
  const gateway = await startSecure(t, {}, { store })
  const { standIn, user, connect } = gateway
  const { ask: send } = await connect()
  isArmed = true
  const wire = send(STREAM, { token: user.token, body: { ...ask, sessionId: 's' } })
  await reached.promise
  wire.leave()
  await once(wire.stream, 'close')
  // The server has read the reset when it answers what was asked after it.
  await send('/health').ended
  released.resolve()
  while ((await send('/chat/predict', { token: user.token, body: { ...ask, sessionId: 's' } }).head).status === 409);
  await settled(t, gateway, user.id)
  t.equal(standIn.predictions.length, 1)
  t.equal((await stored(gateway).charges(user.id)).length, 1)
})

t.test('a drain lets a running stream end as always, and sends whatever comes next elsewhere', async (t) => {
  const gateway = await startSecure(t)
  const { standIn, user, edge, connect } = gateway
  const { ask: send, goaway, closed } = await connect()
  standIn.next({ ...RICH, gates: { 3: 'middle' } })
  const wire = send(STREAM, { token: user.token, body: ask })
  await wire.until(/"token"/)
  edge.drain()
  t.equal(await goaway, 0)
  await t.rejects(send('/health').ended, { code: 'ERR_HTTP2_GOAWAY_SESSION' })
  standIn.gate('middle').open()
  t.equal(eventsOf(await wire.ended).at(-1)?.event, 'end')
  await closed
  t.equal((await (await connect()).json('/health')).status, 200)
  await settled(t, gateway, user.id)
})

t.test('clients that leave their streams at any moment leave nothing behind', async (t) => {
  const gateway = await startSecure(t, { RATE_LIMIT_PER_MINUTE: '0' })
  const { app, user, connect } = gateway
  const paths = ['/chat/predict', '/chat/predict/stream', FLOWISE]
  for (let round = 0; round < 10; round++) {
    const { ask: send, session, json } = await connect()
    const wires = Array.from({ length: 20 }, (_, n) =>
      send(paths[n % 3] ?? '', { token: user.token, body: { ...ask, sessionId: `s-${n}` } })
    )
    await Promise.all(
      wires.map(async (wire, n) => {
        await pause((n * 3 + round) % 40)
        wire.leave()
      })
    )
    // Half of the connections go at once, with whatever is on them.
    if (round % 2 === 0) session.destroy()
    else t.equal((await json('/health')).status, 200)
    while (app.exchanges.size > 0) {
      await idle(gateway)
      await pause(1)
    }
  }
  await settled(t, gateway, user.id)
  const entries = await stored(gateway).entries(user.id)
  const holds = entries.filter(({ kind }) => kind === 'hold')
  const outcomes = entries.filter(({ kind }) => kind !== 'hold' && kind !== 'grant')
  t.ok(holds.length > 0)
  t.equal(outcomes.length, holds.length, 'each hold has one outcome')
})
