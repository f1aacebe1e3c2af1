import { createHash, randomBytes } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { CHUNK_BYTES } from '../../src/blobs/chunks.ts'
import type { Blobs } from '../../src/blobs/port.ts'
import type { FakeClock } from '../clock.ts'

export interface OpenedBlobs {
  blobs: Blobs
  clock: FakeClock
  /** Closes the blobs and opens them again over the same data. */
  reopen(): Promise<Blobs>
  /** What is really kept, whether it can be seen through the port or not. */
  kept(): Promise<Kept>
}

export interface Kept {
  chunks: number
  unfinished: number
}

export type WithBlobs = (title: string, check: (t: Test, opened: OpenedBlobs) => Promise<void>) => void

export const MAX = { maxBytes: 20 * 1024 * 1024 }
const NOTHING: Kept = { chunks: 0, unfinished: 0 }
const HOUR_MS = 3_600_000

/** What every adapter of the blobs port keeps. `open` gives fresh and empty blobs for each call. */
export function blobsContract(t: Test, name: string, open: (t: Test) => Promise<OpenedBlobs>): void {
  const withBlobs: WithBlobs = (title, check) => {
    void t.test(`${name}: ${title}`, async (t) => check(t, await open(t)))
  }

  withBlobs('bytes come back as they were written, whatever their number and pieces', async (t, opened) => {
    const { blobs, clock } = opened
    const sizes = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 700_001]
    for (const size of sizes) {
      const bytes = randomBytes(size)
      const info = { sizeBytes: size, createdAt: clock.now() }
      t.strictSame(await blobs.write(`whole-${size}`, bytes, MAX), { id: `whole-${size}`, ...info })
      t.strictSame(await blobs.write(`pieces-${size}`, pieces(bytes, 65_521), MAX), { id: `pieces-${size}`, ...info })
      t.ok(bytes.equals(await bytesOf(blobs, `whole-${size}`)), `${size} bytes`)
      t.ok(bytes.equals(await bytesOf(blobs, `pieces-${size}`)), `${size} bytes in pieces`)
    }
    const again = await opened.reopen()
    t.equal((await bytesOf(again, 'pieces-700001')).length, 700_001)
    t.equal((await opened.kept()).unfinished, 0)
  })

  withBlobs('ten megabytes pass in both directions', async (t, { blobs }) => {
    const bytes = randomBytes(10 * 1024 * 1024)
    await blobs.write('large', Readable.from(pieces(bytes, 64 * 1024)), MAX)
    const reading = await blobs.read('large')
    t.equal(reading?.lengthBytes, bytes.length)
    const hash = createHash('sha256')
    for await (const piece of reading?.stream ?? []) hash.update(piece)
    t.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'))
  })

  withBlobs('a blob of exactly the limit is taken, one byte more is refused and leaves nothing', async (t, opened) => {
    const { blobs } = opened
    for (const maxBytes of [0, 1000, CHUNK_BYTES, 2 * CHUNK_BYTES]) {
      const bytes = randomBytes(maxBytes + 1)
      const options = { maxBytes }
      await t.rejects(blobs.write('over', bytes, options), { code: 'file_too_large' })
      await t.rejects(blobs.write('over', pieces(bytes, 1013), options), { code: 'file_too_large' })
      t.equal(await blobs.stat('over'), undefined)
      t.strictSame(await opened.kept(), NOTHING)
      t.match(await blobs.write('exact', bytes.subarray(1), options), { sizeBytes: maxBytes })
      await blobs.remove('exact')
    }
    const endless = Readable.from(repeat(randomBytes(100_000)))
    await t.rejects(blobs.write('endless', endless, { maxBytes: 1_000_000 }), { code: 'file_too_large' })
    t.equal(endless.destroyed, true)
    t.strictSame(await opened.kept(), NOTHING)
  })

  withBlobs('a source that fails in the middle leaves nothing', async (t, opened) => {
    const { blobs } = opened
    const source = async function* () {
      yield randomBytes(3 * CHUNK_BYTES)
      throw new Error('the client left')
    }
    await t.rejects(blobs.write('half', source(), MAX), { message: 'the client left' })
    const chunk = randomBytes(CHUNK_BYTES)
    const never = new Promise<Buffer>(() => {})
    const open = new PassThrough()
    open.write(chunk)
    for (const cut of [open, Readable.from([chunk, never])]) {
      const written = blobs.write('half', cut, MAX)
      await until(async () => (await opened.kept()).chunks === 1)
      cut.destroy()
      await t.rejects(written)
    }
    await t.rejects(blobs.write('half', open, MAX), 'one that was cut before')
    t.equal(await blobs.stat('half'), undefined)
    t.strictSame(await opened.kept(), NOTHING)
    t.ok(await blobs.write('half', randomBytes(5), MAX), 'the id is free')
  })

  withBlobs('a source is asked for more only when what it gave is stored', async (t, { blobs, kept }) => {
    const stored: number[] = []
    const source = async function* () {
      for (let n = 0; n < 6; n++) {
        stored.push((await kept()).chunks)
        yield randomBytes(CHUNK_BYTES)
      }
    }
    await blobs.write('slowly', source(), MAX)
    t.strictSame(stored, [0, 1, 2, 3, 4, 5])
  })

  withBlobs('of several writes of one id, one wins, whole', async (t, opened) => {
    const { blobs } = opened
    const contents = Array.from({ length: 5 }, (_, i) => Buffer.alloc(2 * CHUNK_BYTES + i, i + 1))
    const results = await Promise.all(contents.map((bytes) => blobs.write('wanted', pieces(bytes, 100_000), MAX)))
    t.equal(results.filter(Boolean).length, 1)
    const winner = contents[results.findIndex(Boolean)]
    t.ok(winner?.equals(await bytesOf(blobs, 'wanted')))
    t.strictSame(await opened.kept(), { chunks: Math.ceil((winner?.length ?? 0) / CHUNK_BYTES), unfinished: 0 })
    const late = Readable.from(pieces(randomBytes(10), 5))
    t.equal(await blobs.write('wanted', late, MAX), undefined)
    t.ok(winner?.equals(await bytesOf(blobs, 'wanted')))
  })

  withBlobs('a removed blob is gone, and to remove it again is harmless', async (t, opened) => {
    const { blobs } = opened
    await blobs.write('short-lived', randomBytes(20 * CHUNK_BYTES), MAX)
    await blobs.write('other', randomBytes(CHUNK_BYTES), MAX)
    const removed = await Promise.all([blobs.remove('short-lived'), blobs.remove('short-lived')])
    t.strictSame(removed.sort(), [false, true])
    t.equal(await blobs.remove('short-lived'), false)
    t.equal(await blobs.stat('short-lived'), undefined)
    t.equal(await blobs.read('short-lived'), undefined)
    t.equal((await bytesOf(blobs, 'other')).length, CHUNK_BYTES)
    opened.clock.advance(2 * HOUR_MS + 1)
    await blobs.maintain()
    t.strictSame(await opened.kept(), { chunks: 1, unfinished: 0 })
  })

  withBlobs('a blob that is removed while it is read ends with an error, not early', async (t, { blobs }) => {
    await blobs.write('read', randomBytes(8 * CHUNK_BYTES), MAX)
    const reading = await blobs.read('read')
    const read = async () => {
      let sizeBytes = 0
      for await (const piece of reading?.stream ?? []) {
        if (sizeBytes === 0) await blobs.remove('read')
        sizeBytes += piece.length
      }
    }
    await t.rejects(read(), { code: 'file_not_found' })
  })

  withBlobs('a reader that goes away leaves the blob and the others alone', async (t, { blobs }) => {
    const bytes = randomBytes(4 * CHUNK_BYTES)
    await blobs.write('popular', bytes, MAX)
    for (let i = 0; i < 20; i++) {
      const reading = await blobs.read('popular')
      for await (const piece of reading?.stream ?? []) {
        t.ok(piece.length > 0)
        break
      }
      t.equal(reading?.stream.destroyed, true)
    }
    await blobs.read('popular')
    t.ok(bytes.equals(await bytesOf(blobs, 'popular')))
  })

  withBlobs('a range is a part of the bytes', async (t, { blobs }) => {
    const size = 2 * CHUNK_BYTES + 100
    const bytes = randomBytes(size)
    await blobs.write('parts', bytes, MAX)
    await blobs.write('empty', randomBytes(0), MAX)
    const ranges = [
      { start: 0, end: 1 },
      { start: CHUNK_BYTES - 1, end: CHUNK_BYTES + 1 },
      { start: CHUNK_BYTES, end: 2 * CHUNK_BYTES },
      { start: 5, end: size - 5 },
      { start: size - 7 },
      { end: 9 },
      { start: 10, end: 10 },
      { start: 10, end: 4 },
      { start: size, end: size + 10 },
      { start: size - 1, end: Infinity }
    ]
    for (const range of ranges) {
      const expected = (range.end ?? size) < (range.start ?? 0) ? Buffer.of() : bytes.subarray(range.start, range.end)
      const reading = await blobs.read('parts', range)
      t.equal(reading?.lengthBytes, expected.length, JSON.stringify(range))
      t.ok(expected.equals(await buffer(reading?.stream ?? Readable.from([]))), JSON.stringify(range))
    }
    t.equal((await blobs.read('empty', { start: 0, end: 5 }))?.lengthBytes, 0)
  })
}

export async function bytesOf(blobs: Blobs, id: string): Promise<Buffer> {
  const reading = await blobs.read(id)
  if (!reading) throw new Error(`There is no blob ${id}`)
  return buffer(reading.stream)
}

export async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  yield Buffer.of()
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Waits for what only the store can tell; in vain it runs into the limit of the test. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await setTimeout(5)
}

async function* repeat(bytes: Buffer): AsyncGenerator<Buffer> {
  for (;;) yield bytes
}
