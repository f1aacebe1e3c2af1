import { Readable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { CHUNK_BYTES, type ChunkStore, type Head } from './chunks.ts'
import { cut } from './cut.ts'
import type { Blobs, ByteRange } from './port.ts'

const ID = /^[A-Za-z0-9_-]{1,64}$/
/** A write that takes longer is given up; what is still unfinished after twice this time belongs to no one alive. */
const MAX_WRITE_MS = 3_600_000
/** Uploads looked at in one step of the clean-up. */
const PAGE = 100

export interface BlobsOptions<Upload> {
  chunks: ChunkStore<Upload>
  clock: Clock
}

/**
 * The blobs port over any place that keeps chunks: chunks first, then the head, whose appearance is the blob's. Each upload
 * is marked before its first chunk and until its head is there, so that what a dead process has left is found by its mark.
 */
export function createBlobs<Upload>({ chunks, clock }: BlobsOptions<Upload>): Blobs {
  return {
    kind: chunks.kind,
    async write(id, source, { maxBytes, createdAt }) {
      if (!ID.test(id)) throw new Error(`Malformed id of a blob: ${JSON.stringify(id)}`)
      if (await chunks.head(id)) return undefined
      const startedAt = clock.now()
      const upload = await chunks.begin(startedAt)
      let sizeBytes = 0
      try {
        let n = 0
        for await (const bytes of cut(source, maxBytes)) {
          await chunks.putChunk(upload, n++, bytes)
          sizeBytes += bytes.length
        }
        if (clock.now() - startedAt > MAX_WRITE_MS) throw unavailable('The write took too long')
      } catch (error) {
        // What fails here too keeps its mark, and the store's failure would hide why the write failed.
        await discard(chunks, upload).catch(() => {})
        throw error
      }
      const info = { id, sizeBytes, createdAt: createdAt ?? clock.now() }
      // If the answer to this is lost, the head may be there or come: its chunks stay, and the mark tells.
      if (await chunks.publish({ ...info, upload, chunkBytes: CHUNK_BYTES })) return info
      await discard(chunks, upload)
      return undefined
    },
    async stat(id) {
      const head = await chunks.head(id)
      return head && infoOf(head)
    },
    async read(id, range) {
      const head = await chunks.head(id)
      if (!head) return undefined
      const bounds = boundsOf(head.sizeBytes, range)
      const stream = Readable.from(bytesOf(chunks, head, bounds), { objectMode: false })
      return { info: infoOf(head), stream, lengthBytes: bounds.end - bounds.start }
    },
    async remove(id) {
      const upload = await chunks.hide(id, clock.now())
      if (upload === undefined) return false
      await discard(chunks, upload)
      return true
    },
    async list(page) {
      if (!(page.limit >= 1 && page.limit <= 1000)) throw new Error(`Limit out of range: ${page.limit}`)
      return chunks.list(page)
    },
    totalBytes: () => chunks.totalBytes(),
    maintain: () => discardUnfinished(chunks, clock.now() - 2 * MAX_WRITE_MS),
    close: () => chunks.close()
  }
}

/** Removes the chunks of every upload that was marked before this instant and is no blob. */
export async function discardUnfinished<Upload>(chunks: ChunkStore<Upload>, before: number): Promise<void> {
  for (;;) {
    const uploads = await chunks.unfinished(before, PAGE)
    for (const upload of uploads) {
      // The mark of a blob that is there was left behind, or its removal never came to the head.
      if (!(await chunks.isPublished(upload))) await chunks.dropChunks(upload)
      await chunks.unmark(upload, before)
    }
    if (uploads.length < PAGE) return
  }
}

async function discard<Upload>(chunks: ChunkStore<Upload>, upload: Upload): Promise<void> {
  await chunks.dropChunks(upload)
  await chunks.unmark(upload, Infinity)
}

interface Bounds {
  start: number
  end: number
}

function boundsOf(sizeBytes: number, { start = 0, end = sizeBytes }: ByteRange = {}): Bounds {
  const within = (at: number) => Math.max(0, Math.min(at, sizeBytes))
  return { start: within(start), end: Math.max(within(start), within(end)) }
}

async function* bytesOf<Upload>(
  chunks: ChunkStore<Upload>,
  { id, upload, sizeBytes, chunkBytes }: Head<Upload>,
  { start, end }: Bounds
): AsyncGenerator<Uint8Array> {
  if (start === end) return
  for (let n = Math.floor(start / chunkBytes); n * chunkBytes < end; n++) {
    const offset = n * chunkBytes
    const bytes = await chunks.chunk(upload, n)
    if (bytes?.length !== Math.min(chunkBytes, sizeBytes - offset))
      throw new AppError('file_not_found', {}, { cause: new Error(`Chunk ${n} of blob ${id} is gone`) })
    yield bytes.subarray(Math.max(0, start - offset), end - offset)
  }
}

function infoOf<Upload>({ id, sizeBytes, createdAt }: Head<Upload>) {
  return { id, sizeBytes, createdAt }
}

function unavailable(reason: string): AppError {
  return new AppError('store_unavailable', {}, { cause: new Error(reason) })
}
