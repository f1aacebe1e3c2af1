import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startStreams } from './streams.ts'
import { idle, open, settled, stored } from './tools.ts'

const { echo } = DEMO_IDS

for (const price of [1, 0])
  t.test(`clients that leave at any moment leave nothing behind, at a price of ${price}`, async (t) => {
    const gateway = await startStreams(t, {
      DEFAULT_CHATFLOW_PRICE: String(price),
      RATE_LIMIT_PER_MINUTE: '0',
      MAX_CONCURRENT_PER_USER: '20'
    })
    const { url, user, app, request } = gateway
    const paths = ['/chat/predict', '/chat/predict/stream', `/api/v1/prediction/${echo}`]
    for (let round = 0; round < 20; round++) {
      const wires = Array.from({ length: 15 }, (_, n) => {
        const body = { chatflow_id: echo, question: 'hi', sessionId: `s-${n}` }
        return open(`${url}${paths[n % 3]}`, {
          token: user.token,
          body,
          headers: { 'idempotency-key': `${round}-${n}` }
        })
      })
      await Promise.all(
        wires.map(async (wire, n) => {
          // Between the first byte of the request and some time after the end, in small steps.
          await pause((n * 3 + round) % 25)
          wire.leave()
        })
      )
      while (app.exchanges.size > 0) {
        await idle(gateway)
        await pause(1)
      }
    }
    await settled(t, gateway, user.id)
    const outcomes = (await stored(gateway).entries(user.id)).filter(({ kind }) => kind !== 'hold' && kind !== 'grant')
    const holds = (await stored(gateway).entries(user.id)).filter(({ kind }) => kind === 'hold')
    t.equal(outcomes.length, holds.length, 'each hold has one outcome')
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => {
        const body = { chatflow_id: echo, question: 'hi', sessionId: `s-${n}` }
        return request('POST', '/api/v1/chat/predict', { token: user.token, body })
      })
    )
    t.same(
      replies.map(({ statusCode }) => statusCode),
      Array.from({ length: 20 }, () => 200),
      'every session is free and all of the room is there'
    )
    const requests = await stored(gateway).requests()
    t.same(
      requests.filter(({ state }) => state === 'running'),
      [],
      'no key hangs'
    )
  })
