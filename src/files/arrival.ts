import type { Blobs } from '../blobs/port.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { type Ids, sha256Hex } from '../ids.ts'
import type { FileRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import { safeName } from './names.ts'
import type { Removal } from './removal.ts'
import { fileRows, fileSessionKey } from './rows.ts'
import { checkType } from './sniff.ts'
import type { Usage } from './usage.ts'

/** A file as a client sends it. */
export interface ClaimedFile {
  name: string
  /** What it says of its type, once or more often; all must be true. */
  claims: readonly string[]
  bytes: Buffer
}

/** Files that have their place, and are there for nobody yet. */
export interface Arrival {
  readonly rows: readonly FileRow[]
  /** Stores the bytes. */
  store(): Promise<void>
  /** From now on they are there. @throws store_unavailable if they were given up meanwhile */
  keep(how: { isUsed: boolean }): Promise<void>
  /** Takes them away, unless they are kept. */
  giveUp(): Promise<void>
}

export interface ArrivalOptions {
  userId: string
  files: readonly ClaimedFile[]
  /** The session they are for. */
  sessionId?: string | undefined
}

export interface ArrivalsOptions {
  store: Store
  blobs: Blobs
  clock: Clock
  ids: Ids
  usage: Usage
  removal: Removal
  maxFileBytes: number
}

/**
 * Makes the function that checks files and takes their place in the user's quota, all or none.
 * The function throws file_too_large, unsupported_media_type, file_quota_exceeded.
 */
export function createArrivals(parts: ArrivalsOptions): (options: ArrivalOptions) => Promise<Arrival> {
  const { blobs, clock, ids, usage, removal } = parts
  const table = fileRows(parts.store)

  async function rowOf({ name, claims, bytes }: ClaimedFile, { userId, sessionId }: ArrivalOptions): Promise<FileRow> {
    const { mime } = await checkType(bytes, claims)
    const now = clock.now()
    return {
      id: ids.uuid(),
      userId,
      name: safeName(name),
      mime,
      sizeBytes: bytes.length,
      sha256: sha256Hex(bytes),
      state: 'arriving',
      stateAt: now,
      version: 0,
      isUsed: false,
      sessions: sessionId === undefined ? {} : { [fileSessionKey(sessionId)]: sessionId },
      createdAt: now
    }
  }

  return async function arrive(options) {
    const { userId, files } = options
    for (const { bytes } of files)
      if (bytes.length > parts.maxFileBytes)
        throw new AppError('file_too_large', { detail: `A file may have at most ${parts.maxFileBytes} bytes.` })
    const rows: FileRow[] = []
    for (const file of files) rows.push(await rowOf(file, options))
    if (rows.length > 0 && !(await usage.take(userId, rows))) throw new AppError('file_quota_exceeded')
    let isKept = false
    let coming = files.map(({ bytes }) => bytes)
    return {
      rows,
      async store() {
        for (const [index, { id, sizeBytes }] of rows.entries())
          await blobs.write(id, coming[index] ?? Buffer.alloc(0), { maxBytes: sizeBytes })
        coming = []
      },
      async keep({ isUsed }) {
        const change = { set: { state: 'kept', stateAt: clock.now(), isUsed }, inc: { version: 1 } }
        const kept = await Promise.all(rows.map(({ id }) => table.update(id, { equal: { state: 'arriving' } }, change)))
        if (kept.includes(false)) throw new AppError('store_unavailable', {}, { cause: new Error('The file is gone') })
        isKept = true
      },
      async giveUp() {
        if (isKept) return
        // One that cannot be removed now is found by the upkeep.
        await Promise.allSettled(rows.map(({ id }) => removeNow(id)))
      }
    }
  }

  async function removeNow(id: string): Promise<void> {
    const row = await table.get(id)
    if (row) await removal.remove(row)
  }
}
