import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { idle, settled, stored, textOf } from '../prediction/tools.ts'
import { openTamperedStore } from '../prediction/tampered-store.ts'
import { startSecure } from './secure.ts'

const { echo } = DEMO_IDS
const STREAM = '/api/v1/chat/predict/stream'
const FLOWISE = `/api/v1/prediction/${echo}`
const ask = { chatflow_id: echo, question: 'hi', streaming: true }

t.test('leaving one stream ends that prediction and no other', async (t) => {
  const gateway = await startSecure(t, { RESUME_SECONDS: '0' })
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
  const gateway = await startSecure(t, { RESUME_SECONDS: '0' })
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
  const gateway = await startSecure(t, { RESUME_SECONDS: '0' }, { store })
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

t.test('clients that leave their streams at any moment leave nothing behind', async (t) => {
  const gateway = await startSecure(t, { RATE_LIMIT_PER_MINUTE: '0', RESUME_SECONDS: '0' })
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
