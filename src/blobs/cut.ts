import { Readable } from 'node:stream'
import { AppError } from '../errors.ts'
import { CHUNK_BYTES } from './chunks.ts'
import type { BlobSource } from './port.ts'

/**
 * The bytes of a source in chunks of CHUNK_BYTES, the last one shorter; nothing for an empty source. Holds one chunk and
 * what the source yielded last. @throws file_too_large as soon as there are more than `maxBytes`; the source is destroyed then
 */
export async function* cut(source: BlobSource, maxBytes: number): AsyncGenerator<Uint8Array> {
  let sizeBytes = 0
  let waiting: Uint8Array[] = []
  let waitingBytes = 0
  for await (const bytes of source instanceof Uint8Array ? [source] : source) {
    sizeBytes += bytes.length
    if (sizeBytes > maxBytes) throw new AppError('file_too_large')
    let taken = 0
    while (waitingBytes + bytes.length - taken >= CHUNK_BYTES) {
      const end = taken + CHUNK_BYTES - waitingBytes
      const last = bytes.subarray(taken, end)
      yield waiting.length === 0 ? last : Buffer.concat([...waiting, last])
      waiting = []
      waitingBytes = 0
      taken = end
    }
    if (taken === bytes.length) continue
    waiting.push(bytes.subarray(taken))
    waitingBytes += bytes.length - taken
  }
  // Of some streams, those of Readable.from among them, iteration ends as usual when they are destroyed halfway.
  if (source instanceof Readable && source.readableAborted) throw new Error('The source was cut')
  if (waitingBytes > 0) yield Buffer.concat(waiting)
}
