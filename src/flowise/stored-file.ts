import { Readable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { toAppError } from './call.ts'

/** Enough to tell what a file is. */
const HEAD_BYTES = 4096

export interface ReadingLimits {
  clock: Clock
  /** Longest silence. */
  idleMs: number
  /** What is beyond breaks the reading off. */
  maxBytes: number
}

/** A file that is still coming: its beginning, and all of it. */
export interface StoredReading {
  head: Buffer
  stream: Readable
}

/**
 * Reads the beginning of a file, and the rest as fast as it is taken. The stream fails with upstream_too_large,
 * upstream_timeout or upstream_incomplete; destroying it ends the call.
 * @throws the same for the beginning
 */
export async function readStoredFile(body: Readable, limits: ReadingLimits): Promise<StoredReading> {
  const chunks = limited(body, limits)
  const begun: Buffer[] = []
  let bytes = 0
  while (bytes < HEAD_BYTES) {
    const { value, done } = await chunks.next()
    if (done) break
    begun.push(value)
    bytes += value.length
  }
  const head = Buffer.concat(begun)
  return { head: head.subarray(0, HEAD_BYTES), stream: Readable.from(whole(head, chunks), { objectMode: false }) }
}

async function* whole(head: Buffer, rest: AsyncGenerator<Buffer, void>): AsyncGenerator<Buffer> {
  try {
    if (head.length > 0) yield head
    yield* rest
  } finally {
    await rest.return()
  }
}

async function* limited(body: Readable, { clock, idleMs, maxBytes }: ReadingLimits): AsyncGenerator<Buffer, void> {
  const iterator: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  let left = maxBytes
  try {
    for (;;) {
      const cancel = clock.after(idleMs, () => void body.destroy(new AppError('upstream_timeout')))
      const { value, done } = await iterator.next().finally(cancel)
      if (done) return
      left -= value.length
      if (left < 0) throw new AppError('upstream_too_large')
      yield value
    }
  } catch (error) {
    throw toAppError(error, 'upstream_incomplete')
  } finally {
    body.on('error', () => {}).destroy()
  }
}
