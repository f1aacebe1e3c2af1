import type { DatabaseSync } from 'node:sqlite'
import { closeSync, fdatasync, openSync } from 'node:fs'
import { AppError } from '../../errors.ts'

/** SQLite's own log, the file beside the database that commits are written to: `synchronous=normal` leaves its syncs to us. */
export interface Wal {
  /** Makes durable, beside the event loop, what was committed before. */
  sync(done: (error: unknown) => void): void
  /** Makes durable all that was committed, in the database itself. @throws store_unavailable when it does not take everything */
  checkpoint(): void
  /** After the last of them. */
  close(): void
}

/** The log of the database in this file, which its connection has made. */
export function createWal(db: DatabaseSync, path: string): Wal {
  const checkpoint = db.prepare('pragma wal_checkpoint(passive)')
  let fd: number | undefined

  // SQLite removes the file with its last connection and at no other time.
  const opened = (): number => (fd ??= openSync(`${path}-wal`, 'r+'))

  return {
    sync(done) {
      try {
        fdatasync(opened(), done)
      } catch (error) {
        setImmediate(done, error)
      }
    },
    checkpoint() {
      const { log, checkpointed } = checkpoint.get() ?? {}
      if (log !== checkpointed)
        throw new AppError(
          'store_unavailable',
          {},
          { cause: new Error('The database does not take what is in its log') }
        )
    },
    close() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    }
  }
}
