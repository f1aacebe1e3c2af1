import { allOf, pagesOf } from '../store/collect.ts'
import type { FileRow, FileUsageRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import { fileRows, PAGE } from './rows.ts'

export interface UsageLimits {
  /** Of all files of a user together. */
  maxBytes: number
  maxFiles: number
}

/**
 * What the files of a user come to. A file is counted in the write that makes its row, and no longer in the write that
 * notes its release; the note stays until the row is gone, so that no file is released twice.
 */
export interface Usage {
  /** Counts these files of one user and makes their rows, all or none. False if they are too many or too large. */
  take(userId: string, rows: FileRow[]): Promise<boolean>
  /** Counts a leaving file no longer; to repeat it is harmless. */
  release(row: FileRow): Promise<void>
  /** The row of a released file is gone. */
  forget(row: FileRow): Promise<void>
  /** Forgets a user who has no files. */
  removeEmpty(userId: string): Promise<void>
  /** Compares the count with the rows and corrects it, unless it changes meanwhile; true if it was right. */
  recount(userId: string): Promise<boolean>
  /** Recounts all users; answers how many were wrong. */
  recountAll(): Promise<number>
}

/** The usage in this store. */
export function createUsage(store: Store, { maxBytes, maxFiles }: UsageLimits): Usage {
  const usage = store.collection<FileUsageRow>('file_usage')
  const files = fileRows(store)

  async function recount(userId: string): Promise<boolean> {
    // Read first: a file that comes or goes while the rows are read changes the revision, or is noted already.
    const counted = await usage.get(userId)
    const rows = await allOf(files, { where: { equal: { userId } }, limit: PAGE })
    if (!counted) {
      if (rows.length > 0) await usage.insert({ ...emptyUsage(userId), ...sumOf(rows) })
      return rows.length === 0
    }
    const { revision, released } = counted
    const real = sumOf(rows.filter(({ id }) => !(id in released)))
    const ids = new Set(rows.map(({ id }) => id))
    const stale = Object.keys(released).filter((id) => !ids.has(id))
    const isRight = real.bytes === counted.bytes && real.files === counted.files
    if (!isRight || stale.length > 0)
      await usage.update(
        userId,
        { equal: { revision } },
        { set: real, inc: { revision: 1 }, unset: stale.map((id) => `released.${id}`) }
      )
    return isRight
  }

  return {
    async take(userId, rows) {
      const { bytes, files: count } = sumOf(rows)
      const append = rows.map((document) => ({ collection: 'files', document }))
      const room = { lt: { bytes: maxBytes - bytes + 1, files: maxFiles - count + 1 } }
      const change = { inc: { bytes, files: count, revision: 1 } }
      if (await usage.update(userId, room, change, append)) return true
      await usage.insert(emptyUsage(userId))
      return usage.update(userId, room, change, append)
    },
    async release({ id, userId, sizeBytes }) {
      await usage.update(
        userId,
        { exists: { [`released.${id}`]: false } },
        { inc: { bytes: -sizeBytes, files: -1, revision: 1 }, set: { [`released.${id}`]: true } }
      )
    },
    async forget({ id, userId }) {
      await usage.update(userId, {}, { unset: [`released.${id}`], inc: { revision: 1 } })
    },
    async removeEmpty(userId) {
      await usage.remove(userId, { equal: { bytes: 0, files: 0 } })
    },
    recount,
    async recountAll() {
      let wrong = 0
      for await (const page of pagesOf(usage, { limit: PAGE }))
        for (const { id } of page) if (!(await recount(id))) wrong++
      return wrong
    }
  }
}

function emptyUsage(userId: string): FileUsageRow {
  return { id: userId, bytes: 0, files: 0, revision: 0, released: {} }
}

function sumOf(rows: FileRow[]): { bytes: number; files: number } {
  return { bytes: rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), files: rows.length }
}
