import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { TEST_EVENTS } from '../../src/doctor/test-stream.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'

async function open(url: string): Promise<IncomingMessage> {
  const [response]: IncomingMessage[] = await once(get(`${url}/api/v1/test-stream`), 'response')
  if (!response) throw new Error('There is no response.')
  return response
}

t.test('the test stream has the headers and the frames of a prediction', async (t) => {
  const { listen } = await buildTestApp(t)
  const response = await open(await listen())
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-cache, no-transform')
  t.equal(response.headers['x-accel-buffering'], 'no')
  const frames = (await text(response)).split('\n\n').filter(Boolean)
  t.equal(frames.length, TEST_EVENTS + 1)
  for (const [index, frame] of frames.slice(0, -1).entries())
    t.match(frame, `id: ${index + 1}\nevent: tick\ndata: {"event":"tick"`)
  t.equal(frames.at(-1), 'event: end\ndata: {"event":"end","data":"[DONE]"}')
})

t.test('an address gets ten in a minute', async (t) => {
  const clock = createFakeClock(Date.now())
  const { listen, request } = await buildTestApp(t, { clock })
  const url = await listen()
  for (let count = 0; count < 10; count++) {
    const response = await open(url)
    t.equal(response.statusCode, 200)
    response.destroy()
    // A stream that was left ends at its next event.
    clock.advance(200)
  }
  const refused = await request('GET', '/api/v1/test-stream')
  t.equal(refused.statusCode, 429)
  t.equal(refused.json().code, 'rate_limited')
  t.ok(Number(refused.headers['retry-after']) > 0)
})

t.test('a process has eight at once, and a client that leaves gives its place back', async (t) => {
  const clock = createFakeClock(Date.now())
  const { app, listen } = await buildTestApp(t, { clock, env: { TRUST_PROXY: '1' } })
  const url = await listen()
  const running = await Promise.all(Array.from({ length: 8 }, () => open(url)))
  t.strictSame(
    running.map(({ statusCode }) => statusCode),
    Array.from({ length: 8 }, () => 200)
  )
  const ask = async (address: string) =>
    app.inject({ url: '/api/v1/test-stream', method: 'HEAD', headers: { 'x-forwarded-for': address } })
  const refused = await ask('203.0.113.1')
  t.equal(refused.statusCode, 503)
  t.ok(Number(refused.headers['retry-after']) > 0)
  for (const response of running) response.destroy()
  let status = 0
  for (let asked = 2; status !== 200 && asked < 100; asked++) {
    clock.advance(200)
    const reply = ask(`203.0.113.${asked}`)
    const ticking = setInterval(() => clock.advance(200), 1)
    status = (await reply).statusCode
    clearInterval(ticking)
  }
  t.equal(status, 200)
})
