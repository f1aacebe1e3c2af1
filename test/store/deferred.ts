import { pbkdf2 } from 'node:crypto'
import { closeSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { createDocumentCache } from '../../src/store/sqlite/cache.ts'
import { createGroupCommit } from '../../src/store/sqlite/commit.ts'
import { createWatch } from '../../src/store/sqlite/connection.ts'
import { createRedo } from '../../src/store/sqlite/redo.ts'
import { createRedoLog, type RedoLog } from '../../src/store/sqlite/redo-log.ts'
import { createRedoLogs } from '../../src/store/sqlite/redo-logs.ts'
import { createTransactions, LAG_MS } from '../../src/store/sqlite/transactions.ts'
import { createWal, type Wal, type WalOptions } from '../../src/store/sqlite/wal.ts'

/** Longer than the database may lag behind the log. */
export const OVERDUE_MS = LAG_MS + 50

/** A database with a rule that only a commit checks: each row names one that is there. */
const SCHEMA = `
  pragma journal_mode=wal;
  pragma synchronous=normal;
  pragma foreign_keys=on;
  create table if not exists things (id text primary key, of text references things (id) deferrable initially deferred)`

/** What SQLite calls a failure of the disk. */
const IOERR = 10

/** Puts something in the place of a part. */
interface Changed {
  db?: (db: DatabaseSync) => DatabaseSync
  log?: (log: RedoLog) => RedoLog
  wal?: (wal: Wal) => Wal
  syncs?: WalOptions
}

/** Group commit over such a database, with a log that everything goes into. */
export function open(t: Test, path = join(t.testdir(), 'things.db'), changed: Changed = {}) {
  const db = new DatabaseSync(path)
  db.exec(SCHEMA)
  const cache = createDocumentCache()
  const shelf = cache.shelf()
  const lines = createRedo()
  const put = (id: string, of: string) => db.prepare('insert or replace into things values (?, ?)').run(id, of)
  const rows = {
    put(_: string, text: string) {
      const { id, of } = JSON.parse(text)
      put(id, of)
    },
    remove() {}
  }
  const make = (file: string) => {
    const log = createRedoLog(file)
    return changed.log?.(log) ?? log
  }
  const wal = createWal(db, path, changed.syncs)
  const transactions = createTransactions(changed.db?.(db) ?? db, {
    cache,
    watch: createWatch(db, cache),
    lines,
    redone: rows,
    logs: { redo: createRedoLogs(path, make), wal: changed.wal?.(wal) ?? wal },
    few: 0
  })
  const commits = createGroupCommit(db, transactions)
  return {
    path,
    db,
    transactions,
    insert: (id: string, of = id) =>
      commits.add(() => {
        put(id, of)
        const text = JSON.stringify({ id, of })
        shelf.write(id, text)
        lines.put('things', text)
        return id
      }, false),
    /** A write that takes its whole batch with it. */
    failed: () => {
      const write = () => {
        throw Object.assign(new Error('broken'), { errcode: IOERR })
      }
      return commits.add(write, false)
    },
    /** What is there, for this connection; what is remembered goes with what is undone. */
    ids: () => {
      transactions.catchUp()
      const ids = db
        .prepare('select id from things order by id')
        .all()
        .map((row) => String(row['id']))
      for (const id of ['a', 'b', 'c', 'd'])
        if (!ids.includes(id) && shelf.get(id)) throw new Error(`${id} is remembered`)
      return ids
    },
    async close() {
      await commits.end()
      try {
        await transactions.end()
      } finally {
        db.close()
        wal.close()
      }
    }
  }
}

/** Ends the use of the log's file behind the back of those who write it: their next call fails. */
export function breakLog(path: string): void {
  for (const fd of readdirSync('/proc/self/fd')) if (isLog(fd, path)) closeSync(Number(fd))
}

function isLog(fd: string, path: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${path}-redo`)
  } catch {
    return false
  }
}

/** Keeps all threads busy that wait for the disk. */
export function occupyThreads(): Promise<unknown> {
  const work = promisify(pbkdf2)
  return Promise.all(Array.from({ length: 8 }, () => work('x', 'y', 100_000, 32, 'sha512')))
}

/** Behind the batch of this turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
