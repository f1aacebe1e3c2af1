import { closeSync, fdatasync, openSync, realpathSync } from 'node:fs'
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
  /** Now and then, after a sync, copies into the database what that has made durable. Does not wait for the disk. */
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
  maxFrames?: number
}

/** SQLite's log beside this database, which is there; a link it has beside what that leads to. */
export function walOf(path: string): string {
  return `${realpathSync(path)}-wal`
}

/** The log of the database in this file, which this connection has opened. */
export function createWal(db: DatabaseSync, path: string, options: WalOptions = {}): Wal {
  const { sync = fdatasync, writesPerPart = WRITES_PER_PART, maxFrames = MAX_FRAMES } = options
  db.exec(`pragma wal_autocheckpoint=${maxFrames}`)
  const checkpoint = db.prepare('pragma wal_checkpoint(passive)')
  const parts = createParts(path, { sync, maxFrames })
  let fd: number | undefined
  let writes = 0

  return {
    sync(done) {
      try {
        // SQLite removes the file with its last connection and at no other time.
        fd ??= openSync(walOf(path), 'r+')
        if (writes >= writesPerPart) parts.hold()
        sync(fd, (error) => {
          if (error) parts.letGo()
          done(error)
        })
      } catch (error) {
        setImmediate(done, error)
      }
    },
    wrote(more) {
      writes += more
    },
    copy() {
      if (parts.copy()) writes = 0
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
 * Copies what the log has into the database, which SQLite would do in one go and with two syncs on the event loop. A reader stands
 * where the sync of the log began: what others commit meanwhile is not copied, and the log not begun anew before the copy is durable.
 */
function createParts(path: string, { sync, maxFrames }: Required<Omit<WalOptions, 'writesPerPart'>>) {
  let reader: DatabaseSync | undefined
  let copier: DatabaseSync | undefined
  let fd: number | undefined
  /** Something was copied, and may not be durable. */
  let isCopied = false
  let frames = 0
  let syncing: Promise<void> | undefined

  function letGo(): void {
    if (!isCopied && reader?.isTransaction) reader.exec('rollback')
  }

  return {
    hold() {
      if (isCopied) return
      letGo()
      // SQLite brings in the last of a log that is too long with a commit beside which nobody reads.
      if (frames >= maxFrames) {
        frames = 0
        return
      }
      try {
        reader ??= new DatabaseSync(path, { readOnly: true })
        // It reads no more than the first page.
        reader.exec('begin; pragma user_version')
      } catch {
        letGo()
      }
    },
    letGo,
    /** Whether it has begun. */
    copy(): boolean {
      if (isCopied || !reader?.isTransaction) return false
      try {
        copier ??= new DatabaseSync(path)
        fd ??= openSync(path, 'r+')
        frames = copyWith(copier)
      } catch {
        // Nothing counts as copied then.
        letGo()
        return false
      }
      const file = fd
      isCopied = true
      syncing = new Promise((resolve) => {
        sync(file, (error) => {
          // Only the log is sure to have it then: it stays, and grows, and the next start copies it once more.
          if (!error) isCopied = false
          letGo()
          resolve()
        })
      })
      return true
    },
    async end() {
      await syncing
      copier?.close()
      // SQLite removes the log with the last connection.
      if (!isCopied) reader?.close()
    },
    close() {
      // To close any descriptor of a file ends all locks on it that the process has (POSIX).
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    }
  }
}

/** Copies without a sync, and answers how long the log is. Where nobody closes the store, the connection may be the last one. */
function copyWith(copier: DatabaseSync): number {
  copier.exec('pragma synchronous=off')
  try {
    return Number(copier.prepare('pragma wal_checkpoint(passive)').get()?.['log'])
  } finally {
    copier.exec('pragma synchronous=normal')
  }
}
