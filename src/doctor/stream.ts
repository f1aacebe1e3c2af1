import { pipeline, type Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Clock } from '../clock.ts'
import { type Finding, reportOn } from './finding.ts'
import type { HttpProbe, ProbeStream } from './http-probe.ts'
import { readTestEvent, TEST_EVENTS, TEST_GAP_MS, type TestEvent } from './test-stream.ts'

export const STREAM_PATH = '/api/v1/test-stream'

/** As a browser's EventSource asks. */
const HEADERS = { accept: 'text/event-stream', 'accept-encoding': 'gzip, deflate, br' }
const TIMEOUT_MS = 15_000
const MAX_BYTES = 65_536

export interface Arrival {
  event: TestEvent
  /** Since the request was sent. */
  arrivedMs: number
}

export interface Measurement {
  /** Only a reply with 200 has been read. */
  status: number
  retryAfter: string | undefined
  encoding: string | undefined
  arrivals: Arrival[]
  /** Why the stream broke off; undefined when it ended. */
  cut: string | undefined
}

/** Reads the gateway's test stream and notes when each event came. */
export async function measureStream(http: HttpProbe, clock: Clock): Promise<Measurement> {
  const startedAt = clock.now()
  const stream = await http.open(STREAM_PATH, { headers: HEADERS, timeoutMs: TIMEOUT_MS })
  const { status, headers } = stream
  const arrivals: Arrival[] = []
  const found = { status, retryAfter: headers['retry-after'], encoding: headers['content-encoding'], arrivals }
  if (status !== 200) {
    stream.body.destroy()
    return { ...found, cut: undefined }
  }
  try {
    for await (const frame of framesOf(decoded(stream))) {
      const event = readTestEvent(frame)
      if (event) arrivals.push({ event, arrivedMs: clock.now() - startedAt })
    }
    return { ...found, cut: undefined }
  } catch (error) {
    return { ...found, cut: error instanceof Error ? error.message : String(error) }
  }
}

/** What the times say about everything between the gateway and here. */
export function judgeStream({ status, retryAfter, encoding, arrivals, cut }: Measurement): Finding[] {
  const report = reportOn('gateway')
  const [first] = arrivals
  const last = arrivals.at(-1)
  if (status === 429 || status === 503)
    return [report('warn', 'the test stream is busy', { next: `repeat after ${retryAfter ?? '60'} s` })]
  if (status !== 200)
    return [report('fail', `there is no test stream (status ${status})`, { next: 'run the gateway of this version' })]
  if (!first || !last || arrivals.length < TEST_EVENTS)
    return [
      report(
        'fail',
        `the test stream breaks off after ${arrivals.length} of ${TEST_EVENTS} events${cut ? `: ${cut}` : ''}`,
        {
          next: 'look for time-outs and filters in the proxies'
        }
      )
    ]
  const sentMs = last.event.sentMs - first.event.sentMs
  const spreadMs = last.arrivedMs - first.arrivedMs
  const gaps = arrivals.slice(1).map(({ arrivedMs }, index) => arrivedMs - (arrivals[index]?.arrivedMs ?? 0))
  const compressed = encoding === undefined || encoding === 'identity' ? '' : `, compressed with ${encoding}`
  const measured = `first event after ${first.arrivedMs} ms, gaps of ${gaps.join(', ')} ms${compressed}`
  const next =
    'switch off response buffering and compression for text/event-stream in the proxies (nginx: proxy_buffering off)'
  if (spreadMs < sentMs / 2)
    return [
      report(
        'fail',
        `streams are buffered: ${TEST_EVENTS} events sent over ${sentMs} ms came within ${spreadMs} ms (${measured})`,
        {
          next
        }
      )
    ]
  const heldMs = longestHold(arrivals)
  if (heldMs > TEST_GAP_MS)
    return [report('warn', `streams are held back by up to ${heldMs} ms (${measured})`, { next })]
  if (compressed !== '')
    return [report('warn', `streams arrive as sent, but a proxy works on them: ${measured}`, { next })]
  return [report('ok', `streams arrive as sent: ${measured}`)]
}

/** How much longer the slowest event was under way than the fastest. */
function longestHold(arrivals: readonly Arrival[]): number {
  const ways = arrivals.map(({ event, arrivedMs }) => arrivedMs - event.sentMs)
  return Math.max(...ways) - Math.min(...ways)
}

function decoded({ headers, body }: ProbeStream): Readable {
  const decoder = decoderFor(headers['content-encoding'])
  return decoder ? pipeline(body, decoder, () => {}) : body
}

function decoderFor(encoding: string | undefined) {
  if (encoding === 'gzip') return createGunzip()
  if (encoding === 'deflate') return createInflate()
  return encoding === 'br' ? createBrotliDecompress() : undefined
}

async function* framesOf(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let pending = ''
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new Error('it is something else')
    const frames = `${pending}${decoder.decode(chunk, { stream: true })}`.split('\n\n')
    pending = frames.pop() ?? ''
    yield* frames
  }
}
