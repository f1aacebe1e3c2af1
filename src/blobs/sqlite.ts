import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { createBlobs, discardUnfinished } from './blobs.ts'
import type { ChunkStore } from './chunks.ts'
import type { BlobInfo, Blobs } from './port.ts'

/** How long a statement waits for a lock of another process, such as a backup, before it gives up. */
const BUSY_TIMEOUT_MS = 2_000
/** Chunks removed in one transaction; their pages are only put on the free list. */
const DROPPED_AT_ONCE = 16

/** Large pages: a chunk is a handful of them. A checkpoint for each MiB, so that none keeps the event loop for long. */
const SETTINGS = `
  pragma page_size=32768;
  pragma journal_mode=wal;
  pragma synchronous=full;
  pragma wal_autocheckpoint=32;
  pragma journal_size_limit=67108864`

const SCHEMA = `
  create table if not exists blobs (
    id text not null primary key, upload integer not null unique, size_bytes integer not null,
    chunk_bytes integer not null, created_at integer not null
  ) strict;
  create table if not exists chunks (
    upload integer not null, n integer not null, data blob not null, primary key (upload, n)
  ) strict;
  create table if not exists unfinished (upload integer primary key autoincrement, since real not null) strict`

export interface SqliteBlobsOptions {
  /** File of the database; one process has it open. */
  path: string
  clock: Clock
}

/** The blobs port over an embedded SQLite; first removes what a process that died has left. @throws store_unavailable */
export async function createSqliteBlobs({ path, clock }: SqliteBlobsOptions): Promise<Blobs> {
  const db = attempt(() => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }))
  try {
    attempt(() => db.exec(`${SETTINGS};${SCHEMA}`))
    const chunks = createChunks(db)
    await discardUnfinished(chunks, Infinity)
    return createBlobs({ chunks, clock })
  } catch (error) {
    db.close()
    throw error
  }
}

function createChunks(db: DatabaseSync): ChunkStore<number> {
  const { inTurn, idle } = createTurns()
  const run = (sql: string, ...values: SQLInputValue[]) => Number(db.prepare(sql).run(...values).changes)
  const all = (sql: string, ...values: SQLInputValue[]) => inTurn(() => db.prepare(sql).all(...values))
  const first = async (sql: string, ...values: SQLInputValue[]) => (await all(sql, ...values))[0]

  return {
    kind: 'sqlite',
    begin: (now) =>
      inTurn(() => Number(db.prepare('insert into unfinished (since) values (?)').run(now).lastInsertRowid)),
    async putChunk(upload, n, bytes) {
      await inTurn(() => run('insert into chunks (upload, n, data) values (?, ?, ?)', upload, n, bytes))
    },
    publish: ({ id, upload, sizeBytes, chunkBytes, createdAt }) =>
      inTurn(() =>
        together(db, () => {
          const sql = 'insert into blobs values (?, ?, ?, ?, ?) on conflict (id) do nothing'
          if (run(sql, id, upload, sizeBytes, chunkBytes, createdAt) === 0) return false
          run('delete from unfinished where upload = ?', upload)
          return true
        })
      ),
    async head(id) {
      const row = await first('select * from blobs where id = ?', id)
      return row && { ...infoOf(row), upload: Number(row.upload), chunkBytes: Number(row.chunk_bytes) }
    },
    async chunk(upload, n) {
      const row = await first('select data from chunks where upload = ? and n = ?', upload, n)
      return row?.data instanceof Uint8Array ? row.data : undefined
    },
    hide: (id, now) =>
      inTurn(() =>
        together(db, () => {
          const row = db.prepare('delete from blobs where id = ? returning upload').get(id)
          if (row) run('insert into unfinished (upload, since) values (?, ?)', Number(row.upload), now)
          return row && Number(row.upload)
        })
      ),
    async dropChunks(upload) {
      const sql = 'delete from chunks where rowid in (select rowid from chunks where upload = ? limit ?)'
      while ((await inTurn(() => run(sql, upload, DROPPED_AT_ONCE))) > 0);
    },
    async unmark(upload, before) {
      await inTurn(() => run('delete from unfinished where upload = ? and since < ?', upload, before))
    },
    async unfinished(before, limit) {
      const rows = await all('select upload from unfinished where since < ? limit ?', before, limit)
      return rows.map((row) => Number(row.upload))
    },
    isPublished: async (upload) => (await first('select 1 from blobs where upload = ?', upload)) !== undefined,
    async list({ after = '', limit }) {
      return (await all('select * from blobs where id > ? order by id limit ?', after, limit)).map(infoOf)
    },
    async totalBytes() {
      return Number((await first('select coalesce(sum(size_bytes), 0) as total from blobs'))?.total)
    },
    async close() {
      await idle()
      if (db.isOpen) db.close()
    }
  }
}

/**
 * One piece of work per turn of the event loop, in the order of asking: SQLite works while everything else waits, so
 * however many blobs are written and read at once, requests are served between any two chunks.
 */
function createTurns() {
  let last: Promise<unknown> = Promise.resolve()
  return {
    inTurn<T>(work: () => T): Promise<T> {
      const done = last.then(() => setImmediate()).then(() => attempt(work))
      last = done.catch(() => {})
      return done
    },
    idle: () => last
  }
}

function attempt<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new AppError('store_unavailable', {}, { cause })
  }
}

/** Nothing else runs in between: there is no await in `work`. */
function together<T>(db: DatabaseSync, work: () => T): T {
  db.exec('begin immediate')
  try {
    const result = work()
    db.exec('commit')
    return result
  } catch (error) {
    if (db.isTransaction) db.exec('rollback')
    throw error
  }
}

function infoOf(row: Record<string, unknown>): BlobInfo {
  return { id: String(row.id), sizeBytes: Number(row.size_bytes), createdAt: Number(row.created_at) }
}
