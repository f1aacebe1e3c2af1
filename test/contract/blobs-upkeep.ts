import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { CHUNK_BYTES } from '../../src/blobs/chunks.ts'
import type { Blobs } from '../../src/blobs/port.ts'
import { bytesOf, MAX, type OpenedBlobs, type WithBlobs } from './blobs.ts'

const HOUR_MS = 3_600_000

/** The rest of the contract: lists, what is left behind, and the end. */
export function blobsUpkeepContract(t: Test, name: string, open: (t: Test) => Promise<OpenedBlobs>): void {
  const withBlobs: WithBlobs = (title, check) => {
    void t.test(`${name}: ${title}`, async (t) => check(t, await open(t)))
  }

  withBlobs('all blobs are listed by pages in the order of their ids, with size and instant', async (t, opened) => {
    const { blobs, clock } = opened
    t.equal(await blobs.totalBytes(), 0)
    const ids = ['b_2', 'B-1', 'a', '0f', 'b', 'A', 'z9']
    const expected = []
    for (const [i, id] of ids.entries()) {
      clock.advance(1000)
      await blobs.write(id, randomBytes(i * 10), MAX)
      expected.push({ id, sizeBytes: i * 10, createdAt: clock.now() })
    }
    await blobs.write('old', randomBytes(1), { ...MAX, createdAt: 12_345 })
    expected.push({ id: 'old', sizeBytes: 1, createdAt: 12_345 })
    const listed = []
    for (let after: string | undefined; ; after = listed.at(-1)?.id) {
      const page = await blobs.list({ after, limit: 3 })
      listed.push(...page)
      if (page.length < 3) break
    }
    t.strictSame(
      listed,
      expected.sort((one, other) => (one.id < other.id ? -1 : 1))
    )
    t.strictSame(await blobs.stat('old'), { id: 'old', sizeBytes: 1, createdAt: 12_345 })
    t.equal(await blobs.totalBytes(), 211)
    for (const limit of [0, 1001, Number.NaN]) await t.rejects(blobs.list({ limit }))
  })

  withBlobs('an id that is none is refused to writers and unknown to readers', async (t, { blobs, kept }) => {
    for (const id of ['', 'a/b', '../x', 'a'.repeat(65), 'ü', 'lone \ud800', 'a.b', '$a']) {
      await t.rejects(blobs.write(id, randomBytes(1), MAX), { message: /Malformed id/ })
      t.equal(await blobs.stat(id), undefined)
      t.equal(await blobs.read(id), undefined)
      t.equal(await blobs.remove(id), false)
    }
    t.strictSame(await kept(), { chunks: 0, unfinished: 0 })
  })

  withBlobs('a write that never ended is cleared away in time', async (t, opened) => {
    await opened.blobs.write('kept', randomBytes(10), MAX)
    const { stored } = hang(opened.blobs, 'lost')
    await stored
    t.ok((await opened.kept()).chunks > 1)
    const blobs = await opened.reopen()
    t.equal(await blobs.stat('lost'), undefined)
    opened.clock.advance(2 * HOUR_MS + 1)
    await blobs.maintain()
    t.strictSame(await opened.kept(), { chunks: 1, unfinished: 0 })
    t.equal((await bytesOf(blobs, 'kept')).length, 10)
  })

  withBlobs('a write under way is left alone by the clean-up, and ends whole', async (t, opened) => {
    const { blobs, clock } = opened
    const { stored, finish, written } = hang(blobs, 'slow')
    await stored
    clock.advance(HOUR_MS)
    await blobs.maintain()
    finish()
    t.match(await written, { id: 'slow' })
    t.equal((await bytesOf(blobs, 'slow')).length, 3 * CHUNK_BYTES)
    t.strictSame(await opened.kept(), { chunks: 3, unfinished: 0 })
  })

  withBlobs('a write that takes too long to be safe from the clean-up is refused', async (t, opened) => {
    const { blobs, clock } = opened
    const { stored, finish, written } = hang(blobs, 'slow')
    await stored
    clock.advance(HOUR_MS + 1)
    finish()
    await t.rejects(written, { code: 'store_unavailable' })
    t.strictSame(await opened.kept(), { chunks: 0, unfinished: 0 })
  })

  withBlobs('what is closed is unavailable, also to who is reading', async (t, opened) => {
    const { blobs } = opened
    await blobs.write('known', randomBytes(6 * CHUNK_BYTES), MAX)
    const reading = await blobs.read('known')
    const { stored, finish, written } = hang(blobs, 'new')
    await stored
    await Promise.all([blobs.close(), blobs.close()])
    finish()
    const unavailable = { code: 'store_unavailable' }
    await t.rejects(written, unavailable)
    await t.rejects(buffer(reading?.stream ?? Readable.from([])), unavailable)
    await t.rejects(blobs.write('x', randomBytes(1), MAX), unavailable)
    await t.rejects(blobs.stat('known'), unavailable)
    await t.rejects(blobs.read('known'), unavailable)
    await t.rejects(blobs.remove('known'), unavailable)
    await t.rejects(blobs.list({ limit: 1 }), unavailable)
    await t.rejects(blobs.totalBytes(), unavailable)
    await t.rejects(blobs.maintain(), unavailable)
    const again = await opened.reopen()
    t.equal((await bytesOf(again, 'known')).length, 6 * CHUNK_BYTES)
    t.equal(await again.stat('new'), undefined)
  })
}

/** A write whose source gives three chunks, and ends when it is told. `stored` resolves when it asks for more. */
function hang(blobs: Blobs, id: string) {
  const stored = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const source = async function* () {
    yield randomBytes(3 * CHUNK_BYTES)
    stored.resolve()
    await end.promise
  }
  const written = blobs.write(id, source(), MAX)
  // Whoever leaves it hanging does not await it.
  written.catch(() => {})
  return { stored: stored.promise, finish: end.resolve, written }
}
