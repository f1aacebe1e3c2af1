import type { Readable } from 'node:stream'

/**
 * Bytes of files, each under an id that its writer made. A blob never changes; it is there entirely or not at all, also
 * when the process that writes it is killed. Who owns it and what it is called is a document's business (ADR 12).
 */
export interface Blobs {
  readonly kind: 'sqlite' | 'gridfs'
  /**
   * Stores what the source yields, taking from it only as fast as it is stored. Undefined if the id is taken: an earlier
   * write, or one of several at the same time. A source that fails, or that has more than `maxBytes`, leaves nothing.
   * @throws file_too_large, store_unavailable (then it may be there nevertheless), or what the source fails with
   */
  write(id: string, source: BlobSource, options: WriteOptions): Promise<BlobInfo | undefined>
  stat(id: string): Promise<BlobInfo | undefined>
  /** Undefined if there is no such blob. @throws store_unavailable */
  read(id: string, range?: ByteRange): Promise<BlobReading | undefined>
  /** False if there was none; to repeat it is harmless. @throws store_unavailable (then it may be gone nevertheless) */
  remove(id: string): Promise<boolean>
  /** In the order of ids, which are ASCII. */
  list(page: BlobPage): Promise<BlobInfo[]>
  /** Size of all blobs together. */
  totalBytes(): Promise<number>
  /** Removes what processes that died in the middle of a write or removal have left. Needed about every hour. */
  maintain(): Promise<void>
  /** Waits for what is under way. */
  close(): Promise<void>
}

/** A stream ends with an error when it was cut; a buffer must not change before the write has ended. */
export type BlobSource = AsyncIterable<Uint8Array> | Uint8Array

export interface WriteOptions {
  /** A source with exactly this many bytes is taken. */
  maxBytes: number
  /** When it is a copy: the instant of the original. */
  createdAt?: number
}

export interface BlobInfo {
  /** `[A-Za-z0-9_-]{1,64}`; new for each blob, as a UUID is. */
  id: string
  sizeBytes: number
  /** When its last byte was stored. */
  createdAt: number
}

/** Of the bytes from `start` up to, not including, `end`; what is outside the blob is cut off. */
export interface ByteRange {
  start?: number
  end?: number
}

export interface BlobReading {
  info: BlobInfo
  /**
   * The bytes, fetched as they are read; to destroy it is enough when the rest is not wanted. A blob that is removed
   * meanwhile ends it with the error file_not_found, never as if it were whole.
   */
  stream: Readable
  /** How many bytes the stream has. */
  lengthBytes: number
}

export interface BlobPage {
  /** Start behind this id. */
  after?: string | undefined
  /** 1–1000. */
  limit: number
}
