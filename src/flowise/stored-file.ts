import { Readable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { toAppError } from './call.ts'

/** Enough to tell what a file is. */
const HEAD_BYTES = 4096

export interface ReadingLimits {
  clock: Clock
  /** Longest time in which nothing comes, or nobody takes what came. */
  idleMs: number
  /** For all of it. */
  deadlineMs: number
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
  const stream = Readable.from(whole(head, chunks), { objectMode: false })
  // A reader that stands still does not ask for more, and would not hear that there is none.
  body.on('error', (error) => stream.destroy(toAppError(error, 'upstream_incomplete')))
  return { head: head.subarray(0, HEAD_BYTES), stream }
}

async function* whole(head: Buffer, rest: AsyncGenerator<Buffer, void>): AsyncGenerator<Buffer> {
  try {
    if (head.length > 0) yield head
    yield* rest
  } finally {
    await rest.return()
  }
}

async function* limited(body: Readable, limits: ReadingLimits): AsyncGenerator<Buffer, void> {
  const { clock, idleMs, deadlineMs, maxBytes } = limits
  const iterator: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  const stop = (): void => void body.destroy(new AppError('upstream_timeout'))
  const cancelDeadline = clock.after(deadlineMs, stop)
  let cancelIdle = clock.after(idleMs, stop)
  let left = maxBytes
  try {
    for (;;) {
      const { value, done } = await iterator.next()
      if (done) return
      left -= value.length
      if (left < 0) throw new AppError('upstream_too_large')
      yield value
      cancelIdle()
      cancelIdle = clock.after(idleMs, stop)
    }
  } catch (error) {
    throw toAppError(error, 'upstream_incomplete')
  } finally {
    cancelDeadline()
    cancelIdle()
    body.on('error', () => {}).destroy()
  }
}
