import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf } from '../prediction/tools.ts'
import { startSecureProcess } from './secure-process.ts'

const story = { chatflow_id: DEMO_IDS.storyteller, question: 'a long story' }

t.test('SIGTERM: streams get their time, then error and end; idle connections close', async (t) => {
  const gateway = await startSecureProcess(t, { DRAIN_SECONDS: '2' })
  const idle = await gateway.connect()
  const { ask, token, goaway } = await gateway.login()
  const streams = Array.from({ length: 3 }, () => ask('/chat/predict/stream', { token, body: story }))
  await Promise.all(streams.map((stream) => stream.until(/event: token/)))
  const startedAt = performance.now()
  gateway.child.kill('SIGTERM')
  t.equal(await idle.goaway, 0)
  t.equal(await goaway, 0)
  await t.rejects(ask('/health').ended, { code: 'ERR_HTTP2_GOAWAY_SESSION' })
  await idle.closed
  const late = await gateway.connect()
  t.match(await late.json('/chat/predict', { token, body: story }), { status: 503, body: { code: 'draining' } })
  t.equal((await late.json('/ready')).status, 503)
  t.equal((await late.json('/health')).status, 200)
  for (const { ended } of streams) {
    const names = eventsOf(await ended).map(({ event }) => event)
    t.same(names.slice(-2), ['error', 'end'])
    t.equal(names.filter((name) => name === 'end').length, 1)
  }
  t.equal(await gateway.exit, 0, 'with a connection open that nobody closes')
  t.ok(performance.now() - startedAt < 15_000)
})
