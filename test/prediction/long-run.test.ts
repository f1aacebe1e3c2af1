import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { settled, stored } from './tools.ts'

const { echo } = DEMO_IDS

for (const price of [1, 0])
  t.test(`a run of three minutes keeps its session, its key and its hold, at a price of ${price}`, async (t) => {
    const clock = createFakeClock(Date.now())
    const env = { DEFAULT_CREDITS: '10', FIRST_BYTE_TIMEOUT_MS: '600000', DEFAULT_CHATFLOW_PRICE: String(price) }
    const gateway = await buildTestApp(t, { clock, env })
    const { standIn, request, createUser } = gateway
    const user = await createUser({ grants: [echo] })
    const ask = (sessionId: string, key: string) =>
      request('POST', '/api/v1/chat/predict', {
        token: user.token,
        body: { chatflow_id: echo, question: 'hi', sessionId },
        headers: { 'idempotency-key': key }
      })
    standIn.next({ gates: { head: 'long' } })
    const running = ask('s', 'k')
    await standIn.gate('long').reached
    for (let seconds = 0; seconds < 180; seconds += 5) {
      clock.advance(5000)
      // Each renewal is a write to the store; the next one is timed when it is done.
      await pause(10)
    }
    t.equal((await ask('s', 'other')).json().code, 'session_busy')
    t.equal((await ask('s', 'k')).json().code, 'request_in_progress')
    t.match(await stored(gateway).account(user.id), { holdCount: price })
    standIn.gate('long').open()
    t.equal((await running).statusCode, 200)
    t.same(await stored(gateway).charges(user.id), price > 0 ? [1_000_000] : [])
    t.equal((await ask('s', 'k')).headers['idempotency-replayed'], 'true')
    await settled(t, gateway, user.id)
  })
