import * as fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.ts'
import type { Frame } from '../../src/flowise/frame.ts'
import { createSseParser } from '../../src/flowise/sse.ts'
import { readCapture } from '../fixtures/flowise/read.ts'

const STREAMS = [
  '02-stream-chatflow',
  '03-stream-unicode',
  '06-stream-agentflow-llm',
  '74-human-1-stream',
  '81-heartbeat'
]

function parse(chunks: Iterable<Uint8Array>, maxFrameBytes = 1_000_000): Frame[] {
  const frames: Frame[] = []
  const parser = createSseParser({ maxFrameBytes, onFrame: (frame) => frames.push(frame) })
  for (const chunk of chunks) parser.push(chunk)
  parser.end()
  return frames
}

function parseText(text: string, maxFrameBytes?: number): Frame[] {
  return parse([Buffer.from(text)], maxFrameBytes)
}

function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1
    yield bytes.subarray(at, at + size)
    at += size
  }
}

const anyCut = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 })

t.test('every recorded stream gives the same frames however it is cut', async (t) => {
  for (const name of STREAMS) {
    const { body } = readCapture(name)
    const whole = parse([body])
    t.equal(whole.at(-1)?.event, 'end', name)
    t.same(parse(pieces(body, [1])), whole, `${name}, byte by byte`)
    fc.assert(
      fc.property(anyCut, (sizes) => t.strictSame(parse(pieces(body, sizes)), whole)),
      { numRuns: 10 }
    )
  }
})

t.test('every dialect means the same', async (t) => {
  const data = '{"event":"token","data":"é🙂\\n"}'
  const dialects = [
    `message:\ndata:${data}\n\n`,
    `message\ndata:${data}\n\n`,
    `data: ${data}\n\n`,
    `message:\r\ndata:${data}\r\n\r\n`,
    `message:\rdata:${data}\r\r`,
    `event: token\nid: 7\nretry: 10\ndata: ${data}\n\n`,
    `:heartbeat\n\n\uFEFF:not a mark here\n\nmessage:\ndata:${data}\n\n`,
    `\uFEFFdata:${data}\n\n`,
    `\uFEFFmessage:\r\ndata:${data}\n\n`
  ]
  for (const dialect of dialects) {
    const expected = [{ event: 'token', data: 'é🙂\n', members: { event: 'token', data: 'é🙂\n' }, json: data }]
    t.same(parseText(dialect), expected, JSON.stringify(dialect))
    t.same(parse(pieces(Buffer.from(dialect), [1])), expected, `${JSON.stringify(dialect)}, byte by byte`)
  }
})

t.test('generated streams of mixed dialects survive every cut', async () => {
  const ending = fc.constantFrom('\n', '\r\n', '\r')
  const frame = fc
    .record({
      opening: fc.constantFrom('message:', 'message', ':ka', 'id: 1'),
      text: fc.string({ unit: 'binary' }),
      ending
    })
    .map(({ opening, text, ending: eol }) => {
      const json = JSON.stringify({ event: 'token', data: text })
      return { wire: `${opening}${eol}data:${json}${eol}${eol}`, text }
    })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), anyCut, (sent, sizes) => {
      const bytes = Buffer.from(sent.map(({ wire }) => wire).join(''))
      const got = parse(pieces(bytes, sizes))
      return got.length === sent.length && got.every(({ data }, index) => data === sent[index]?.text)
    }),
    { numRuns: 300 }
  )
})

t.test('data over several lines is joined, and written again as one line', async (t) => {
  const [frame] = parseText('data: {"event":"token",\ndata:  "data":"x"}\n\n')
  t.match(frame, { event: 'token', data: 'x', json: '{"event":"token","data":"x"}' })
  t.match(parseText('event: note\ndata:a\ndata:b\n\n'), [
    { event: 'note', data: 'a\nb', json: '{"event":"note","data":"a\\nb"}' }
  ])
})

t.test('an event line names data that is not in the form of Flowise', async (t) => {
  t.match(parseText('event: usage\ndata: {"tokens":3}\n\n'), [{ event: 'usage', data: { tokens: 3 } }])
  t.match(parseText('event: tts_start\ndata: {"event":"tts_start","data":{}}\n\n'), [{ event: 'tts_start', data: {} }])
  t.match(parseText('event: token\ndata: plain words\n\n'), [{ event: 'token', data: 'plain words' }])
  t.match(parseText('data: plain words\n\n'), [{ event: 'message', data: 'plain words' }])
  t.match(parseText('data: [DONE]\n\n'), [{ event: 'message', data: '[DONE]' }])
})

t.test('members beside data are kept, and event comes first', async (t) => {
  const [thinking] = parseText('data:{"event":"thinking","data":"","duration":3}\n\n')
  t.equal(thinking?.members.duration, 3)
  t.equal(thinking?.json, '{"event":"thinking","data":"","duration":3}')
  const [swapped] = parseText('data:{"data":"x","event":"token"}\n\n')
  t.equal(swapped?.json, '{"event":"token","data":"x"}')
})

t.test('without its blank line the last event counts only when it is complete', async (t) => {
  t.match(parseText('data:{"event":"end","data":"[DONE]"}'), [{ event: 'end' }])
  t.match(parseText('message:\ndata:{"event":"end","data":"[DONE]"}\n'), [{ event: 'end' }])
  t.same(parseText('data:{"event":"token","data":"ha'), [])
  t.same(parseText('event: token\ndata: half a sent'), [])
  t.same(parseText('event: token\n\n:ka\n'), [])
})

t.test('an event above the limit is refused, in one piece and byte by byte', async (t) => {
  const fitting = Buffer.from(`message:\ndata:${JSON.stringify({ event: 'token', data: 'x'.repeat(60) })}\n\n`)
  const large = Buffer.from(`message:\ndata:${JSON.stringify({ event: 'token', data: 'x'.repeat(100) })}\n\n`)
  const endless = Buffer.from('x'.repeat(200))
  for (const size of [1, 7, 10_000]) {
    t.equal(parse(pieces(Buffer.concat([fitting, fitting, fitting]), [size]), 100).length, 3)
    t.throws(() => parse(pieces(large, [size]), 100), new AppError('upstream_too_large'))
    t.throws(() => parse(pieces(endless, [size]), 100), new AppError('upstream_too_large'))
    t.throws(
      () => parse(pieces(Buffer.from('data:12345\n'.repeat(20)), [size]), 100),
      new AppError('upstream_too_large')
    )
  }
  t.same(parse(pieces(Buffer.from(':ka\n'.repeat(500)), [3]), 100), [], 'comments alone may go on for ever')
})

t.test('a large event in tiny chunks costs linear time and is let go afterwards', async (t) => {
  const text = 'x'.repeat(2_000_000)
  const frames: Frame[] = []
  const parser = createSseParser({ maxFrameBytes: 3_000_000, onFrame: (frame) => frames.push(frame) })
  const bytes = Buffer.from(`data:${JSON.stringify({ event: 'token', data: text })}\r\r`)
  const started = process.cpuUsage().user
  for (const piece of pieces(bytes.subarray(0, -1), [10])) parser.push(piece)
  t.ok(parser.bufferedBytes > 2_000_000)
  parser.push(bytes.subarray(-1))
  t.ok(process.cpuUsage().user - started < 3_000_000, 'well below what copying all of it per chunk would take')
  t.equal(parser.bufferedBytes, 0)
  t.equal(frames[0]?.data, text)
})
