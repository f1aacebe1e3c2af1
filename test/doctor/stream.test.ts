import t from 'tap'
import { type Arrival, judgeStream } from '../../src/doctor/stream.ts'
import { createTestStream, readTestEvent, TEST_EVENTS, TEST_GAP_MS } from '../../src/doctor/test-stream.ts'
import { createFakeClock } from '../clock.ts'

const caller = { address: '203.0.113.7', forwarded: 1, believed: 1 }

/** Five events at their times, each arriving so much later than it was sent. */
const arriving = (...delaysMs: number[]): Arrival[] =>
  delaysMs.map((delayMs, index) => {
    const sentMs = index * TEST_GAP_MS
    return { event: { number: index + 1, sentMs, caller }, arrivedMs: sentMs + delayMs }
  })
const reply = { status: 200, retryAfter: undefined, encoding: undefined, cut: undefined }

t.test('times of arrival are judged by when the gateway sent', async (t) => {
  const table: [name: string, measurement: Partial<Parameters<typeof judgeStream>[0]>, level: string, text: RegExp][] =
    [
      ['as sent', { arrivals: arriving(20, 25, 20, 30, 20) }, 'ok', /after 20 ms, gaps of 205, 195, 210, 190 ms/],
      ['far away, but even', { arrivals: arriving(900, 900, 905, 900, 900) }, 'ok', /as sent/],
      ['all at the end', { arrivals: arriving(800, 600, 400, 200, 0) }, 'fail', /buffered: 5 events .* within 0 ms/],
      ['in two parcels', { arrivals: arriving(400, 200, 0, 200, 0) }, 'warn', /held back by up to 400 ms/],
      ['one late', { arrivals: arriving(0, 0, 0, 150, 0) }, 'ok', /as sent/],
      ['compressed', { arrivals: arriving(0, 0, 0, 0, 0), encoding: 'gzip' }, 'warn', /compressed with gzip/],
      ['not compressed', { arrivals: arriving(0, 0, 0, 0, 0), encoding: 'identity' }, 'ok', /as sent/],
      ['cut', { arrivals: arriving(0, 0), cut: 'other side closed' }, 'fail', /after 2 of 5 events: other side closed/],
      ['nothing', { arrivals: [] }, 'fail', /after 0 of 5 events$/],
      ['limited', { status: 429, retryAfter: '31', arrivals: [] }, 'warn', /busy/],
      ['older gateway', { status: 404, arrivals: [] }, 'fail', /no test stream \(status 404\)/]
    ]
  for (const [name, measurement, level, text] of table) {
    const [finding, ...others] = judgeStream({ ...reply, arrivals: [], ...measurement })
    t.strictSame(others, [], name)
    t.equal(finding?.level, level, name)
    t.match(finding?.text, text, name)
    t.equal(finding?.next === undefined, level === 'ok', `${name}: advice where there is something to do`)
  }
})

t.test('the test stream tells when each event was sent, and to whom', async (t) => {
  const clock = createFakeClock()
  const frames: string[] = []
  const reading = (async () => {
    for await (const frame of createTestStream(clock, caller)) {
      frames.push(frame)
      // The next timer is set by the time this runs.
      setImmediate(() => clock.advance(TEST_GAP_MS))
    }
  })()
  await reading
  const events = frames.map(readTestEvent).filter((event) => event !== undefined)
  t.strictSame(
    events.map(({ sentMs }) => sentMs),
    Array.from({ length: TEST_EVENTS }, (_, index) => index * TEST_GAP_MS)
  )
  for (const event of events) t.strictSame(event.caller, caller)
  t.match(frames.at(-1), 'event: end\n')
})

t.test('what is no event of the test stream is none', async (t) => {
  const strange = [
    '',
    ': ping',
    'data: {"event":"end","data":"[DONE]"}',
    'data: {"event":"tick"}',
    'data: {"event":"tick",',
    'data: {"event":"tick","number":1,"sent_ms":"0","caller":{}}',
    'data: {"event":"tick","number":1,"sent_ms":0,"caller":null}'
  ]
  for (const frame of strange) t.equal(readTestEvent(frame), undefined, frame)
})
