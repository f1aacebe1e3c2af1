import * as fc from 'fast-check'
import t from 'tap'
import { createFrame, readFrame } from '../../src/flowise/frame.ts'
import { parseJson } from '../../src/flowise/json.ts'
import { createSseParser } from '../../src/flowise/sse.ts'

/** What stands around the text of a token, whole and damaged. */
const BEFORE = [
  '{"event":"token","data":"',
  '{"event":"token","data":',
  '{"event":"token", "data":"',
  '{"event":"tokens","data":"'
]
const AFTER = ['"}', '"}}', '" }', '","duration":1}', '","data":"x"}', '","chatId":"c"}', '}', '']

const piece = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom(
    '',
    '"',
    '\\',
    '\\"',
    '\\n',
    '\\u0041',
    '\\ud800',
    '\t',
    '\u0000',
    '\u001f',
    '\u007f',
    '\u2028',
    '\uFEFF',
    '{"a":1}',
    '"}'
  )
)
const body = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('').replace(/[\r\n]/g, ''))
const line = fc.tuple(fc.constantFrom(...BEFORE), body, fc.constantFrom(...AFTER)).map((parts) => parts.join(''))

/** The same by way of a parser for all of JSON. */
function expected(text: string) {
  const members = parseJson(text) as { event: string; data: unknown } | undefined
  if (members === undefined) return { event: 'message', data: text }
  return { event: members.event, data: members.data, members, json: text }
}

t.test('a token that is read without a parser is what a parser reads', async (t) => {
  let plain = 0
  fc.assert(
    fc.property(line, (text) => {
      const frame = readFrame('', text)
      t.match(frame, expected(text))
      t.strictSame(frame.data, expected(text).data)
      if (frame.event === 'token') plain += 1
    }),
    { numRuns: 3000 }
  )
  t.ok(plain > 200, `${plain} of them were tokens`)
  for (const text of ['{"event":"token","data":"}', '{"event":"token","data":""}', '{"event":"token","data":"\t"}'])
    t.match(readFrame('', text), expected(text), text)
})

t.test('the bytes of whole events and the same bytes one by one say the same', async (t) => {
  const framings = ['message:\ndata:', 'data:', 'data: ', 'message:\ndata: ', 'data:  ', 'message\ndata:']
  const events = fc.array(fc.tuple(fc.constantFrom(...framings), line, fc.constantFrom('\n\n', '\r\n\r\n', '\n\r\n')))
  fc.assert(
    fc.property(events, (parts) => {
      const bytes = Buffer.from(parts.map((part) => part.join('')).join(''))
      t.strictSame(read([bytes]), read(Array.from(bytes, (byte) => Buffer.from([byte]))))
    }),
    { numRuns: 300 }
  )
})

function read(chunks: Buffer[]) {
  const events: unknown[] = []
  const parser = createSseParser({
    maxFrameBytes: 1_000_000,
    onFrame: ({ event, data, json }) => events.push([event, data, json])
  })
  for (const chunk of chunks) parser.push(chunk)
  parser.end()
  return events
}

t.test('the JSON of a plain token can be made again from its text', async (t) => {
  const texts = ['gateway ', '', 'Größe ', '€ 漢字', '\u2028', '</script>', '{"a":1}', 'a\\nb', 'a\tb', 'a\u0085b']
  for (const text of texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1)])) {
    const { json, plainToken } = readFrame('', `{"event":"token","data":"${text}"}`)
    if (plainToken !== undefined) t.equal(createFrame('token', plainToken).json, json)
  }
  t.equal(readFrame('', '{"event":"token","data":"gateway "}').plainToken, 'gateway ')
  for (const json of ['{"event":"token","data":"a\\nb"}', '{"event":"token","data":"a","chatId":"1"}', '{"event":"x"}'])
    t.equal(readFrame('', json).plainToken, undefined, json)
})
