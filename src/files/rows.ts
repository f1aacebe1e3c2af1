import { sha256Hex } from '../ids.ts'
import type { FileRow } from '../store/collections.ts'
import type { Collection, Store } from '../store/port.ts'

/** Rows per step of whatever goes through many. */
export const PAGE = 200

/** The rows of files in this store. */
export function fileRows(store: Store): Collection<FileRow> {
  return store.collection<FileRow>('files')
}

/** The name of a session in a file's `sessions`: ids of sessions have characters that a path must not have. */
export function fileSessionKey(sessionId: string): string {
  return sha256Hex(sessionId).slice(0, 32)
}
