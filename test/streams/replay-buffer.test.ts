import * as fc from 'fast-check'
import t from 'tap'
import { createReplayBuffer, framesOf } from '../../src/streams/replay-buffer.ts'
import { createRoom } from '../../src/streams/room.ts'

const frame = (id: number, event: string, data: unknown) =>
  `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify({ data })}\n\n`
const tokenFrame = (id: number, text: string) => frame(id, 'token', text)

/** A buffer with a run that speaks into it. */
function start({
  minBytes = 0,
  maxBytes = 2000,
  roomBytes = 1_000_000,
  spare = (): boolean => false,
  maxText = 1_000_000,
  isPlain = false
} = {}) {
  const room = createRoom(roomBytes, spare)
  const told = { text: '', isTruncated: false }
  const buffer = createReplayBuffer({ told, tokenFrame, room, minBytes, maxBytes })
  buffer.pushAll(frame(1, 'session_id', 's') + frame(2, 'files_uploaded', 'f'))
  return {
    buffer,
    room,
    told,
    say(token: string) {
      told.isTruncated ||= told.text.length + token.length > maxText
      told.text = (told.text + token).slice(0, maxText)
      buffer.push(tokenFrame(buffer.lastId + 1, token), isPlain ? token : undefined)
    },
    show: (event: string, data: unknown) => buffer.push(frame(buffer.lastId + 1, event, data))
  }
}

/** What somebody has who reads on from a place: the frames by id, and the text of the tokens. */
function readAll(buffer: ReturnType<typeof start>['buffer'], after?: number, chunkBytes = 300) {
  const place = buffer.begin(after)
  if (!place) return undefined
  let { text, id } = place
  for (;;) {
    const next = buffer.read(id, chunkBytes)
    if (next === undefined || next === 'behind') break
    text += next.text
    id = next.id
  }
  return framesOf(text)
}

const idOf = (text: string) => Number(/^id: (\d+)/.exec(text)?.[1])
const eventOf = (text: string) => /event: (\S+)/.exec(text)?.[1]
const dataOf = (text: string) => JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '').data
const textOf = (frames: string[]) =>
  frames
    .filter((text) => eventOf(text) === 'token')
    .map(dataOf)
    .join('')

t.test('while all fits everybody gets all of it, as it was', async (t) => {
  const { buffer, say } = start()
  for (const token of ['a', 'b', 'c']) say(token)
  t.same(readAll(buffer)?.map(idOf), [1, 2, 3, 4, 5])
  t.same(readAll(buffer, 0)?.map(idOf), [1, 2, 3, 4, 5])
  t.same(readAll(buffer, 3)?.map(idOf), [4, 5])
  t.same(readAll(buffer, 5), [])
  t.same(readAll(buffer, 6)?.map(idOf), [1, 2, 3, 4, 5], 'an id that it never had')
})

t.test('plain tokens are read as they were written, though only the text has them', async (t) => {
  const spoken = fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant(undefined)), { maxLength: 60 })
  const property = fc.property(spoken, fc.integer({ min: 0, max: 300 }), (words, maxText) => {
    const written = start({ maxBytes: 1_000_000, maxText })
    const inText = start({ maxBytes: 1_000_000, maxText, isPlain: true })
    for (const { say, show, told } of [written, inText])
      for (const word of words) {
        if (word !== undefined) say(word)
        else show('nextAgentFlow', 'one')
        // What the text gains without a frame of its own is no token's.
        if (word === '') Object.assign(told, { text: `${told.text}?` })
      }
    for (let after = 0; after <= written.buffer.lastId; after++)
      t.same(readAll(inText.buffer, after), readAll(written.buffer, after))
    written.buffer.end()
    inText.buffer.end()
    t.same(readAll(inText.buffer), readAll(written.buffer))
    return written.buffer.lastId === inText.buffer.lastId
  })
  fc.assert(property, { numRuns: 50 })
  const long = start({ isPlain: true })
  for (let n = 0; n < 3000; n++) long.say(`word ${n} `)
  long.buffer.end()
  t.equal(textOf(readAll(long.buffer) ?? []), long.told.text)
  t.same(readAll(long.buffer, 3000)?.map(dataOf), ['word 2998 ', 'word 2999 '])
})

t.test('what has left at the front is summed up: all of the text, the last event of each name', async (t) => {
  const { buffer, say, show } = start()
  show('nextAgentFlow', 'one')
  for (let n = 0; n < 40; n++) say(`word ${n} `)
  show('nextAgentFlow', 'two')
  show('sourceDocuments', ['a'])
  for (let n = 40; n < 80; n++) say(`word ${n} `)
  const frames = readAll(buffer) ?? []
  t.equal(textOf(frames), Array.from({ length: 80 }, (_, n) => `word ${n} `).join(''))
  t.same(frames.slice(0, 2).map(eventOf), ['session_id', 'files_uploaded'])
  t.same(frames.filter((text) => /nextAgent|source/.test(text)).map(dataOf), ['two', ['a']])
  const ids = frames.map(idOf)
  t.same(
    ids,
    [...new Set(ids)].toSorted((a, b) => a - b),
    'ids still rise'
  )
  t.equal(ids.at(-1), buffer.lastId)
})

t.test('who reads too slowly is told, and begins again', async (t) => {
  const { buffer, say } = start()
  say('early ')
  for (let n = 0; n < 100; n++) say(`word ${n} `)
  t.equal(buffer.read(3, 300), 'behind')
  t.same(readAll(buffer, 3)?.slice(0, 1).map(idOf), [1])
})

t.test('text that is not remembered cannot be summed up', async (t) => {
  const { buffer, say } = start({ maxText: 100 })
  for (let n = 0; n < 100; n++) say(`word ${n} `)
  t.equal(buffer.begin(undefined), undefined)
  t.equal(buffer.begin(3), undefined)
  t.same(buffer.begin(buffer.lastId - 1), { text: '', id: buffer.lastId - 1 }, 'the rest can still be had')
})

t.test('the room is given back, and taken from the ended first', async (t) => {
  const spared: string[] = []
  const { buffer, room, say } = start({
    roomBytes: 1500,
    maxBytes: 100_000,
    spare: () => spared.push('asked') < 2
  })
  for (let n = 0; n < 200; n++) {
    say('some text ')
    t.ok(room.takenBytes <= 1500)
  }
  t.ok(spared.length >= 2)
  t.equal(textOf(readAll(buffer) ?? []).length, 2000)
  buffer.end()
  buffer.drop()
  t.equal(room.takenBytes, 0)
  t.equal(buffer.begin(undefined), undefined)
  t.equal(buffer.read(5, 100), 'behind')
  t.equal(buffer.read(buffer.lastId, 100), undefined, 'who has all of it misses nothing')
})

t.test('others have taken all of the room: whoever keeps up gets each frame all the same', async (t) => {
  const { buffer, room, say } = start({ minBytes: 1000, maxBytes: 100_000, roomBytes: 10_000 })
  room.take(10_000)
  let last = buffer.lastId
  for (let n = 0; n < 100; n++) {
    say('some text ')
    const next = buffer.read(last, 300)
    t.match(next, { id: last + 1 })
    last++
  }
  t.ok(room.takenBytes <= 11_100)
})

t.test('whoever comes when, with whatever: text is whole, ids rise, nothing comes twice', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('say' as const), size: fc.nat(300) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('show' as const), size: fc.nat(600) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), size: fc.nat(3) }) }
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 500, max: 4000 }), (steps, maxBytes) => {
      const { buffer, say, show, told } = start({ maxBytes })
      const readers = Array.from({ length: 4 }, () => ({ text: '', last: undefined as number | undefined }))
      for (const { kind, size } of steps) {
        if (kind === 'say') say(`${size}${'x'.repeat(size)}\n`)
        else if (kind === 'show') show(`event-${size % 3}`, 'y'.repeat(size))
        else {
          const reader = readers[size] ?? readers[0]
          for (const text of readAll(buffer, reader?.last) ?? []) {
            if (!reader) continue
            if (idOf(text) === 1) reader.text = ''
            else if (idOf(text) <= (reader.last ?? 0)) throw new Error('an id came twice')
            if (eventOf(text) === 'token') reader.text += dataOf(text)
            reader.last = idOf(text)
          }
          if (reader?.text !== told.text) throw new Error('the text is not whole')
        }
      }
    }),
    { numRuns: 300 }
  )
})
