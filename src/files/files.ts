import { buffer } from 'node:stream/consumers'
import type { BlobReading, Blobs, ByteRange } from '../blobs/port.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { FileRow } from '../store/collections.ts'
import type { Position } from '../store/cursor.ts'
import type { Store } from '../store/port.ts'
import { type Arrival, type ArrivalOptions, createArrivals } from './arrival.ts'
import { createRemoval, type Removal } from './removal.ts'
import { fileRows, fileSessionKey } from './rows.ts'
import { createUpkeep, type Upkeep } from './upkeep.ts'
import { createUsage } from './usage.ts'

/** Keeps the lists of a user's files bounded, whatever room tiny files leave. */
const MAX_FILES_PER_USER = 10_000

/** The files of all users; each is there for its owner only. */
export interface Files extends Pick<Removal, 'removeOfSession' | 'removeAllOf'>, Upkeep {
  /** Checks files and takes their place. @throws file_too_large, unsupported_media_type, file_quota_exceeded */
  arrive(options: ArrivalOptions): Promise<Arrival>
  /** Stores one file. @throws what `arrive` does, store_unavailable; then nothing is left of it */
  add(options: ArrivalOptions): Promise<FileRow>
  /** @throws file_not_found also for a file of somebody else */
  owned(userId: string, fileId: string): Promise<FileRow>
  /** Of these files those that are there and the user's. */
  present(userId: string, fileIds: readonly string[]): Promise<Map<string, FileRow>>
  /** @throws file_not_found when the bytes are gone */
  read(row: FileRow, range?: ByteRange): Promise<BlobReading>
  /** All of it. @throws file_not_found when the bytes are gone */
  bytes(row: FileRow): Promise<Buffer>
  /** A message of this session names the file. False if it is no longer there. */
  use(row: FileRow, sessionId: string): Promise<boolean>
  /** In the order in which they came. */
  ofSession(userId: string, sessionId: string, page: { after: Position | undefined; limit: number }): Promise<FileRow[]>
  /** @throws file_not_found also for a file of somebody else */
  remove(userId: string, fileId: string): Promise<void>
}

export interface FilesOptions {
  store: Store
  blobs: Blobs
  clock: Clock
  ids: Ids
  maxFileBytes: number
  /** Of all files of a user together. */
  maxUserBytes: number
}

/** The files in this store, with their bytes in these blobs. */
export function createFiles({ maxFileBytes, maxUserBytes, ...parts }: FilesOptions): Files {
  const { store, blobs } = parts
  const files = fileRows(store)
  const usage = createUsage(store, { maxBytes: maxUserBytes, maxFiles: MAX_FILES_PER_USER })
  const removal = createRemoval({ ...parts, usage })
  const arrive = createArrivals({ ...parts, usage, removal, maxFileBytes })

  async function owned(userId: string, fileId: string): Promise<FileRow> {
    const row = await files.get(fileId)
    if (row?.userId !== userId || row.state !== 'kept') throw new AppError('file_not_found')
    return row
  }

  async function read(row: FileRow, range?: ByteRange): Promise<BlobReading> {
    const reading = await blobs.read(row.id, range)
    if (!reading) throw new AppError('file_not_found')
    return reading
  }

  return {
    arrive,
    owned,
    read,
    removeOfSession: removal.removeOfSession,
    removeAllOf: removal.removeAllOf,
    ...createUpkeep({ ...parts, usage, removal }),

    async add(options) {
      const arrival = await arrive(options)
      try {
        await arrival.store()
        await arrival.keep({ isUsed: false })
      } catch (error) {
        await arrival.giveUp()
        throw error
      }
      const [row] = arrival.rows
      if (!row) throw new AppError('internal_error')
      return row
    },

    async present(userId, fileIds) {
      const rows = await Promise.all([...new Set(fileIds)].map((id) => files.get(id)))
      return new Map(
        rows.flatMap((row) => (row?.userId === userId && row.state === 'kept' ? [[row.id, row] as const] : []))
      )
    },

    bytes: async (row) => buffer((await read(row)).stream),

    use: (row, sessionId) =>
      files.update(
        row.id,
        { equal: { userId: row.userId, state: 'kept' } },
        { set: { isUsed: true, [`sessions.${fileSessionKey(sessionId)}`]: sessionId }, inc: { version: 1 } }
      ),

    ofSession: (userId, sessionId, { after, limit }) =>
      files.list({
        where: { equal: { userId, state: 'kept' }, exists: { [`sessions.${fileSessionKey(sessionId)}`]: true } },
        order: { by: 'createdAt', direction: 'asc' },
        ...(after ? { after } : {}),
        limit
      }),

    async remove(userId, fileId) {
      for (;;) {
        const row = await owned(userId, fileId)
        if (await removal.remove(row)) return
      }
    }
  }
}
