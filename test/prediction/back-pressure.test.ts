import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startStreams } from './streams.ts'
import { open, settled, textOf } from './tools.ts'

const MIB = 1_048_576
const PATHS = ['/api/v1/chat/predict/stream', `/api/v1/prediction/${DEMO_IDS.echo}`]

for (const path of PATHS)
  t.test(`a client that does not read slows Flowise down: ${path.split('/')[3]}`, async (t) => {
    const gateway = await startStreams(t, { MAX_ANSWER_MB: '100', STREAM_IDLE_TIMEOUT_MS: '200' })
    const { standIn, url, user, app } = gateway
    const token = 'x'.repeat(MIB / 4)
    standIn.next({ events: Array.from({ length: 160 }, () => ['token', token] as const) })
    const body = { chatflow_id: DEMO_IDS.echo, question: 'hi', streaming: true }
    const memory = process.memoryUsage().rss
    const wire = open(`${url}${path}`, { token: user.token, body, isPaused: true })
    t.equal((await wire.head).status, 200)
    const seen = await standIn.waitFor(({ url: asked }) => asked.includes('/prediction/'))
    // Until the pipe is full: nothing more has left for a while.
    let before = -1
    while (before !== seen.sentBytes) {
      before = seen.sentBytes
      await pause(100)
    }
    t.ok(seen.sentBytes < 20 * MIB, `${seen.sentBytes} of 40 MiB left Flowise`)
    t.ok(process.memoryUsage().rss - memory < 100 * MIB)
    await pause(400)
    t.equal(app.exchanges.size, 1, 'a slow client is not an idle Flowise')
    wire.resume()
    const text = await wire.ended
    t.equal(textOf(text).length, 160 * token.length, 'nothing is lost')
    t.match(text.slice(-200), '"event":"end"')
    await settled(t, gateway, user.id)
  })

t.test('a client that reads nothing and leaves stops the work', async (t) => {
  const gateway = await startStreams(t, { MAX_ANSWER_MB: '100', RESUME_SECONDS: '0' })
  const { standIn, url, user, app } = gateway
  standIn.next({ events: Array.from({ length: 100 }, () => ['token', 'x'.repeat(MIB / 2)] as const) })
  const body = { chatflow_id: DEMO_IDS.echo, question: 'hi' }
  const wire = open(`${url}${PATHS[0]}`, { token: user.token, body, isPaused: true })
  await wire.head
  wire.leave()
  await standIn.waitFor(({ method }) => method === 'PUT')
  await settled(t, gateway, user.id)
  t.equal(app.exchanges.size, 0)
})
