import { closeSync, existsSync, fdatasyncSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { CollectionSpec } from '../port.ts'
import type { DocumentCache } from './cache.ts'
import { logsOf } from './redo-logs.ts'
import { isInOrder, prepareTables } from './schema.ts'
import { walOf } from './wal.ts'

/** How long a statement waits for a lock of another process before it gives up. */
const BUSY_TIMEOUT_MS = 2_000

/**
 * A commit does not wait for the disk: what makes it durable runs beside the event loop (`wal.ts`). Room for the pages that a
 * transaction under load changes: what does not fit is written twice, and read again.
 */
const SETTINGS = `
  pragma journal_mode=wal;
  pragma synchronous=normal;
  pragma cache_size=-8000;
  pragma journal_size_limit=67108864`

export interface SqliteOptions {
  /** File of the database; it is made when it does not exist, unless `readOnly`. */
  path: string
  specs: CollectionSpec[]
  /** For a look beside the running gateway: no table is made, and every write fails. */
  readOnly?: boolean
  /** How many writes may come at once and still go into the file without the redo log. Default: 16. */
  few?: number
}

/** Opens the file, with its tables in order unless it is only looked at. */
export function connect({ path, specs, readOnly = false }: SqliteOptions): DatabaseSync {
  if (!readOnly && existsSync(path)) syncAll(path)
  const db = new DatabaseSync(path, { readOnly, timeout: BUSY_TIMEOUT_MS })
  try {
    if (readOnly) return db
    db.exec(SETTINGS)
    prepareTables(db, specs)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * A process that was killed may have left what only the memory of the system has: a commit, for which records would be given up
 * that the disk has; a record, behind which others would be acknowledged; a copy of SQLite's log, which SQLite believes durable
 * as long as anybody else has the file open.
 */
function syncAll(path: string): void {
  for (const file of [path, walOf(path), ...logsOf(path)]) if (existsSync(file)) syncFile(file)
}

function syncFile(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fdatasyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Whether all tables are those of this version: then opening the file changes nothing in it. */
export function isInForm({ path, specs }: SqliteOptions): boolean {
  const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS })
  try {
    return specs.every((spec) => isInOrder(db, spec))
  } finally {
    db.close()
  }
}

/** Keeps a cache true to a file in which others may write. */
export interface Watch {
  /** Forgets all if another connection has written since the last look. @throws as SQLite does when the file is closed */
  look(): void
  /** The same, once in a turn of the event loop. */
  lookThisTurn(): void
  /** Looks again whatever was seen in this turn. */
  end(): void
}

/** Watches for writes of other connections: one process owns the file, but its operator may have tools of his own. */
export function createWatch(db: DatabaseSync, cache: DocumentCache): Watch {
  const version = db.prepare('pragma data_version')
  let seen: unknown
  let isSeen = false
  const nextTurn = () => {
    isSeen = false
  }

  function look(): void {
    const now = version.get()?.['data_version']
    if (now !== seen) cache.clear()
    seen = now
  }

  return {
    look,
    lookThisTurn() {
      if (isSeen) return
      look()
      isSeen = true
      setImmediate(nextTurn)
    },
    end: nextTurn
  }
}
