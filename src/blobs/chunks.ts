import type { BlobInfo, BlobPage, Blobs } from './port.ts'

/** As GridFS has it: a chunk with its names fits into 256 KiB. */
export const CHUNK_BYTES = 255 * 1024

/** What is known of a blob that is there. */
export interface Head<Upload> extends BlobInfo {
  /** The write that made it; its chunks are found under this. */
  upload: Upload
  /** Of every chunk but the last. */
  chunkBytes: number
}

/**
 * What an adapter keeps: heads by id, chunks by upload, and marks of uploads that are not finished. Each write has an
 * upload of its own, so that two of one id never touch each other's chunks. Every member is one step, durable when it
 * resolves, and @throws store_unavailable.
 */
export interface ChunkStore<Upload> {
  readonly kind: Blobs['kind']
  /** A new upload, marked as unfinished. */
  begin(now: number): Promise<Upload>
  putChunk(upload: Upload, n: number, bytes: Uint8Array): Promise<void>
  /** Makes the blob visible and takes the mark away. False if the id is taken. */
  publish(head: Head<Upload>): Promise<boolean>
  head(id: string): Promise<Head<Upload> | undefined>
  chunk(upload: Upload, n: number): Promise<Uint8Array | undefined>
  /** Marks the blob's upload as unfinished and removes its head; undefined if there was none. */
  hide(id: string, now: number): Promise<Upload | undefined>
  dropChunks(upload: Upload): Promise<void>
  /** Takes the mark away if it was set before this instant. */
  unmark(upload: Upload, before: number): Promise<void>
  /** Uploads that were marked before this instant, 1–1000 of them. */
  unfinished(before: number, limit: number): Promise<Upload[]>
  isPublished(upload: Upload): Promise<boolean>
  list(page: BlobPage): Promise<BlobInfo[]>
  totalBytes(): Promise<number>
  close(): Promise<void>
}
