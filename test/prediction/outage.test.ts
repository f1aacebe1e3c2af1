import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { AppError } from '../../src/errors.ts'
import { buildTestApp } from '../helper.ts'
import { openTamperedStore } from './tampered-store.ts'
import { eventsOf, idle, open, settled, stored, textOf } from './tools.ts'

const { echo } = DEMO_IDS

async function start(t: Test, { commitsInOrder = false } = {}) {
  const down = new Set<string>()
  const store = await openTamperedStore(
    t,
    async (collection, kind) => {
      if (kind === 'write' && down.has(collection)) throw new AppError('store_unavailable')
    },
    { commitsInOrder }
  )
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '100' }, parts: { store } })
  const user = await gateway.createUser({ grants: [echo] })
  const url = await gateway.listen()
  const stream = (sessionId = 's') =>
    open(`${url}/chat/predict/stream`, {
      token: user.token,
      body: { chatflow_id: echo, question: 'hi', sessionId }
    })
  return { ...gateway, down, user, stream }
}

t.test('the store fails before Flowise is called: 503, nothing sent, nothing held', async (t) => {
  const gateway = await start(t)
  const { down, stream, standIn, user } = gateway
  down.add('sessions')
  const wire = stream()
  const text = await wire.ended
  t.equal((await wire.head).status, 503)
  t.match(JSON.parse(text), { code: 'store_unavailable' })
  t.equal(standIn.predictions.length, 0)
  down.clear()
  await settled(t, gateway, user.id)
  t.same(await stored(gateway).charges(user.id), [])
  t.equal(textOf(await stream().ended), 'hi')
})

t.test('the answer cannot be stored: the stream ends normally, the write is repeated, charged once', async (t) => {
  const gateway = await start(t)
  const { down, stream, standIn, user } = gateway
  standIn.next({ gates: { end: 'end' } })
  const wire = stream()
  await wire.until(/🙂/)
  down.add('sessions')
  standIn.gate('end').open()
  t.same(
    eventsOf(await wire.ended)
      .slice(-2)
      .map(({ event }) => event),
    ['metadata', 'end']
  )
  t.equal((await stored(gateway).messages('s')).length, 1)
  t.same(await stored(gateway).charges(user.id), [], 'what is not in the history is not charged')
  down.clear()
  while ((await stored(gateway).messages('s')).length < 2) await pause(20)
  t.match(await stored(gateway).messages('s'), [
    { role: 'user', status: 'complete' },
    { role: 'assistant', status: 'complete', content: 'Hello from Flowise 🙂' }
  ])
  while ((await stored(gateway).charges(user.id)).length === 0) await pause(20)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('a store that keeps the order fails as a whole: the answer is repeated, then its charge, once', async (t) => {
  const gateway = await start(t, { commitsInOrder: true })
  const { down, stream, standIn, user } = gateway
  standIn.next({ gates: { end: 'end' } })
  const wire = stream()
  await wire.until(/🙂/)
  down.add('sessions').add('messages').add('accounts')
  standIn.gate('end').open()
  t.match(eventsOf(await wire.ended).at(-2)?.data, { event: 'metadata', data: { credits_charged: 1 } })
  t.equal((await stored(gateway).messages('s')).length, 1)
  t.same(await stored(gateway).charges(user.id), [])
  down.clear()
  while ((await stored(gateway).charges(user.id)).length === 0) await pause(20)
  t.match(await stored(gateway).messages('s'), [{ role: 'user' }, { role: 'assistant', status: 'complete' }])
  await idle(gateway)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('the charge cannot be booked: the answer stands, the charge follows, once', async (t) => {
  const gateway = await start(t)
  const { down, stream, standIn, user } = gateway
  standIn.next({ gates: { end: 'end' } })
  const wire = stream()
  await wire.until(/🙂/)
  down.add('accounts')
  standIn.gate('end').open()
  const events = eventsOf(await wire.ended)
  t.match(events.at(-2)?.data, { event: 'metadata', data: { credits_charged: 1 } })
  t.notOk('credits_remaining' in Object(events.at(-2)?.data.data), 'what cannot be read is not told as nothing')
  t.same(await stored(gateway).charges(user.id), [])
  down.clear()
  while ((await stored(gateway).charges(user.id)).length === 0) await pause(20)
  await idle(gateway)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('the charge cannot be booked: a reply in one piece says what it cost, and not what is left', async (t) => {
  const gateway = await start(t)
  const { down, request, standIn, user } = gateway
  standIn.next({ gates: { end: 'end' } })
  const body = { chatflow_id: echo, question: 'hi' }
  const replying = request('POST', '/api/v1/chat/predict', { token: user.token, body })
  await standIn.waitFor(({ url }) => url.includes('/prediction/'))
  down.add('accounts')
  standIn.gate('end').open()
  const reply = await replying
  t.equal(reply.statusCode, 200)
  t.match(reply.json(), { credits_charged: 1 })
  t.notOk('credits_remaining' in reply.json())
  down.clear()
  while ((await stored(gateway).charges(user.id)).length === 0) await pause(20)
  await idle(gateway)
  await settled(t, gateway, user.id)
})

t.test('no hold can be made: 503, and neither a session nor a call', async (t) => {
  const gateway = await start(t)
  const { down, stream, standIn, user } = gateway
  t.equal(textOf(await stream('first').ended), 'hi')
  down.add('accounts')
  const wire = stream('second')
  t.match(JSON.parse(await wire.ended), { status: 503, code: 'store_unavailable' })
  down.clear()
  t.equal(standIn.predictions.length, 1)
  t.equal((await stored(gateway).messages('second')).length, 0)
  t.equal(textOf(await stream('second').ended), 'hi', 'the session is free')
  await settled(t, gateway, user.id)
})
