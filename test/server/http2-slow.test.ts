import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { settled, textOf } from '../prediction/tools.ts'
import { startSecure } from './secure.ts'

const MIB = 1_048_576
const { echo } = DEMO_IDS
const STREAM = '/api/v1/chat/predict/stream'
const BIG = { events: Array.from({ length: 160 }, () => ['token', 'x'.repeat(MIB / 4)] as const) }
const ask = { chatflow_id: echo, question: 'hi', streaming: true }

for (const path of [STREAM, `/api/v1/prediction/${echo}`])
  t.test(`a stream that is not read slows Flowise down, and no other stream: ${path.split('/')[3]}`, async (t) => {
    const gateway = await startSecure(t, { MAX_ANSWER_MB: '100', STREAM_IDLE_TIMEOUT_MS: '200' })
    const { standIn, user, app, connect } = gateway
    const { ask: send, json } = await connect()
    const memory = process.memoryUsage().rss
    standIn.next(BIG)
    const slow = send(path, { token: user.token, body: { ...ask, sessionId: 'slow' }, isPaused: true })
    t.equal((await slow.head).status, 200)
    const seen = await standIn.waitFor(({ url }) => url.includes('/prediction/'))
    // Until the pipe is full: nothing more has left for a while.
    let before = -1
    while (before !== seen.sentBytes) {
      before = seen.sentBytes
      await pause(100)
    }
    t.ok(seen.sentBytes < 20 * MIB, `${seen.sentBytes} of 40 MiB left Flowise`)
    t.ok(process.memoryUsage().rss - memory < 100 * MIB)

    const others = Array.from({ length: 5 }, (_, n) =>
      send(path, { token: user.token, body: { ...ask, sessionId: `other-${n}` } })
    )
    for (const { ended } of others) t.equal(textOf(await ended), 'hi')
    t.equal((await json('/health')).status, 200)
    await pause(400)
    t.equal(app.exchanges.size, 1, 'a slow client is not an idle Flowise')

    slow.resume()
    const text = await slow.ended
    t.equal(textOf(text).length, 160 * (MIB / 4), 'nothing is lost')
    t.match(text.slice(-200), '"event":"end"')
    await settled(t, gateway, user.id)
  })

t.test('a stream that is not read and then left stops the work', async (t) => {
  const gateway = await startSecure(t, { MAX_ANSWER_MB: '100', RESUME_SECONDS: '0' })
  const { standIn, user, app, connect } = gateway
  const { ask: send, json } = await connect()
  standIn.next(BIG)
  const wire = send(STREAM, { token: user.token, body: ask, isPaused: true })
  await wire.head
  wire.leave()
  await standIn.waitFor(({ method }) => method === 'PUT')
  await settled(t, gateway, user.id)
  t.equal(app.exchanges.size, 0)
  t.equal((await json('/health')).status, 200)
})

t.test('a shutdown does not wait for a stream that is not read', async (t) => {
  const { standIn, user, app, connect } = await startSecure(t, { MAX_ANSWER_MB: '100', DRAIN_SECONDS: '0.1' })
  const { ask: send, goaway } = await connect()
  standIn.next(BIG)
  const wire = send(STREAM, { token: user.token, body: ask, isPaused: true })
  await wire.head
  const startedAt = performance.now()
  await app.close()
  t.ok(performance.now() - startedAt < 10_000)
  t.equal(await goaway, 0)
})
