import { pbkdf2 } from 'node:crypto'
import { closeSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createDocumentCache } from '../../src/store/sqlite/cache.ts'
import { createGroupCommit } from '../../src/store/sqlite/commit.ts'
import { createWatch } from '../../src/store/sqlite/connection.ts'
import { createRedo } from '../../src/store/sqlite/redo.ts'
import { createRedoLog } from '../../src/store/sqlite/redo-log.ts'
import { createTransactions } from '../../src/store/sqlite/transactions.ts'

/** A database with a rule that only a commit checks: each row names one that is there. */
const SCHEMA = `
  pragma journal_mode=wal;
  pragma foreign_keys=on;
  create table if not exists things (id text primary key, of text references things (id) deferrable initially deferred)`

/** Longer than the database may lag behind the log. */
const LAG_MS = 150

/** Group commit over such a database, with a log that everything goes into. */
function open(t: Test, path = join(t.testdir(), 'things.db')) {
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
  const log = createRedoLog(`${path}-redo`)
  const transactions = createTransactions(db, {
    cache,
    watch: createWatch(db, cache),
    lines,
    redone: rows,
    log,
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
      }
    }
  }
}

/** Ends the use of the log's file behind the back of those who write it: their next call fails. */
function breakLog(path: string): void {
  for (const fd of readdirSync('/proc/self/fd')) if (isLog(fd, path)) closeSync(Number(fd))
}

function isLog(fd: string, path: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === `${path}-redo`
  } catch {
    return false
  }
}

/** Keeps all threads busy that wait for the disk. */
function occupyThreads(): Promise<unknown> {
  const work = promisify(pbkdf2)
  return Promise.all(Array.from({ length: 8 }, () => work('x', 'y', 100_000, 32, 'sha512')))
}

t.test('a commit that fails takes nothing back that was acknowledged', async (t) => {
  const { path, insert, ids, close } = open(t)
  await insert('a')
  await insert('c', 'd')
  await pause(LAG_MS)
  t.same(ids(), ['a', 'c'], 'the log has it')
  t.equal(await insert('b'), 'b', 'and takes more')
  await pause(LAG_MS)
  t.same(ids(), ['a', 'b', 'c'])
  const beside = new DatabaseSync(path, { readOnly: true })
  t.teardown(() => beside.close())
  t.equal(beside.prepare('select count(*) as n from things').get()?.['n'], 0, 'the database has none of it yet')
  await insert('d')
  await pause(LAG_MS)
  t.equal(beside.prepare('select count(*) as n from things').get()?.['n'], 4)
  await close()
})

t.test('who leaves with a commit that fails leaves the log', async (t) => {
  const first = open(t)
  await first.insert('c', 'd')
  await t.rejects(first.close())
  const next = open(t, first.path)
  t.same(next.ids(), ['c'])
  await next.insert('d')
  await next.close()
  const last = open(t, first.path)
  t.same(last.ids(), ['c', 'd'])
  await last.close()
})

t.test('where the log cannot be written the database is, and the log again when it can be', async (t) => {
  const { path, insert, ids, close } = open(t)
  await insert('a')
  const beside = new DatabaseSync(path, { readOnly: true })
  t.teardown(() => beside.close())
  beside.exec('select * from things')
  breakLog(path)
  t.same(await Promise.all([insert('b'), insert('c')]), ['b', 'c'])
  t.equal(beside.prepare('select count(*) as n from things').get()?.['n'], 3, 'at once')
  t.equal(await insert('d'), 'd')
  t.equal(beside.prepare('select count(*) as n from things').get()?.['n'], 3, 'the log has it')
  t.same(ids(), ['a', 'b', 'c', 'd'])
  await close()
})

t.test('where neither can be written the batch is refused, and what was before it stays', async (t) => {
  const { path, insert, ids, close } = open(t)
  await insert('a')
  breakLog(path)
  const refused = await Promise.allSettled([insert('b'), insert('c', 'nobody')])
  for (const result of refused) t.match(result, { status: 'rejected', reason: { code: 'store_unavailable' } })
  t.same(ids(), ['a'])
  t.equal(await insert('d'), 'd')
  await close()
})

t.test('a log of which nobody knows whether it is on the disk is committed', async (t) => {
  const { path, insert, ids, close } = open(t)
  await insert('a')
  const threads = occupyThreads()
  const [b, c] = [insert('b'), insert('c')]
  await pause(5)
  const d = insert('d')
  await pause(5)
  breakLog(path)
  t.same(await Promise.all([b, c, d]), ['b', 'c', 'd'])
  t.same(ids(), ['a', 'b', 'c', 'd'])
  await threads
  await close()
})

t.test('and where that fails too, all that was not yet acknowledged is refused', async (t) => {
  const { path, insert, ids, close } = open(t)
  await insert('a')
  const threads = occupyThreads()
  const early = insert('b')
  await pause(5)
  const late = insert('c', 'nobody')
  await pause(5)
  breakLog(path)
  for (const result of await Promise.allSettled([early, late]))
    t.match(result, { status: 'rejected', reason: { code: 'store_unavailable' } })
  t.same(ids(), ['a'])
  t.equal(await insert('d'), 'd')
  await threads
  await close()
})

t.test('an answer waits for the disk, and not for those that come after it', async (t) => {
  const { insert, close } = open(t)
  await insert('a')
  const threads = occupyThreads()
  let isAnswered = false
  const b = insert('b').then(() => {
    isAnswered = true
  })
  await pause(10)
  t.equal(isAnswered, false)
  await Promise.all([b, insert('c'), threads])
  t.equal(isAnswered, true)
  await close()
})
