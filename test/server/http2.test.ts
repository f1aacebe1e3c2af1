import t from 'tap'
import { Agent, request } from 'undici'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, settled, stored, textOf } from '../prediction/tools.ts'
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
    const told = (all: object) => JSON.parse(steady(JSON.stringify({ ...all, date: 'now' })))
    t.same(told(head.headers), told(others))
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
