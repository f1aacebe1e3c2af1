import { closeSync, fdatasync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { AppError } from '../../errors.ts'

/** So many frames are too many: SQLite then brings the rest into the database by itself, and waits for the disk. */
const MAX_FRAMES = 8192
/** A part of them goes there after so many writes. */
const WRITES_PER_PART = 1000

/** SQLite's own log, the file beside the database that commits are written to: `synchronous=normal` leaves its syncs to us. */
export interface Wal {
  /** Makes durable, beside the event loop, what was committed before. */
  sync(done: (error: unknown) => void): void
  /** Counts writes for `copy`. */
  wrote(writes: number): void
  /** Now and then copies into the database what was committed; all of that must be durable here. Does not wait for the disk. */
  copy(): void
  /** Makes durable all that was committed, in the database itself. @throws store_unavailable when it does not take everything */
  checkpoint(): void
  /** Resolves when the connection may be closed, which is the last one then. */
  end(): Promise<void>
  /** After that. */
  close(): void
}

export interface WalOptions {
  /** As fdatasync. */
  sync?: (fd: number, done: (error: unknown) => void) => void
  writesPerPart?: number
}

/** The log of the database in this file, which this connection has opened. */
export function createWal(db: DatabaseSync, path: string, options: WalOptions = {}): Wal {
  const { sync = fdatasync, writesPerPart = WRITES_PER_PART } = options
  db.exec(`pragma wal_autocheckpoint=${MAX_FRAMES}`)
  const checkpoint = db.prepare('pragma wal_checkpoint(passive)')
  const parts = createParts(path, sync)
  let fd: number | undefined
  let writes = 0

  return {
    sync(done) {
      try {
        // SQLite removes the file with its last connection and at no other time.
        fd ??= openSync(`${path}-wal`, 'r+')
        sync(fd, done)
      } catch (error) {
        setImmediate(done, error)
      }
    },
    wrote(more) {
      writes += more
    },
    copy() {
      if (writes < writesPerPart) return
      writes = 0
      parts.copy()
    },
    checkpoint() {
      const { log, checkpointed } = checkpoint.get() ?? {}
      if (log === checkpointed) return
      throw new AppError('store_unavailable', {}, { cause: new Error('The database does not take what is in its log') })
    },
    end: () => parts.end(),
    close() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
      parts.close()
    }
  }
}

/**
 * Copies what the log has into the database, which SQLite would do in one go and with two syncs on the event loop. The log may not
 * be begun anew before the copy is durable: a reader who stands at its end keeps SQLite from that.
 */
function createParts(path: string, sync: (fd: number, done: (error: unknown) => void) => void) {
  let reader: DatabaseSync | undefined
  let copier: DatabaseSync | undefined
  let fd: number | undefined
  /** The reader stands there. */
  let isHeld = false
  let syncing: Promise<void> | undefined

  function release(): void {
    reader?.exec('rollback')
    isHeld = false
  }

  return {
    copy() {
      if (isHeld) return
      try {
        reader ??= new DatabaseSync(path, { readOnly: true })
        copier ??= withoutSyncs(path)
        fd ??= openSync(path, 'r+')
        // It reads no more than the first page.
        reader.exec('begin; pragma user_version')
        isHeld = true
        copier.exec('pragma wal_checkpoint(passive)')
      } catch {
        // Nothing counts as copied then.
        if (isHeld) release()
        return
      }
      const file = fd
      syncing = new Promise((resolve) => {
        sync(file, (error) => {
          // Only the log is sure to have it then: it stays, and grows, and the next start copies it once more.
          if (!error) release()
          resolve()
        })
      })
    },
    async end() {
      await syncing
      copier?.close()
      // SQLite removes the log with the last connection.
      if (!isHeld) reader?.close()
    },
    close() {
      // To close any descriptor of a file ends all locks on it that the process has (POSIX).
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    }
  }
}

function withoutSyncs(path: string): DatabaseSync {
  const db = new DatabaseSync(path)
  db.exec('pragma synchronous=off')
  return db
}
