import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createDocumentCache } from '../../src/store/sqlite/cache.ts'
import { connect } from '../../src/store/sqlite/connection.ts'
import { createRedoLog, type RedoLog } from '../../src/store/sqlite/redo-log.ts'
import { createWaiting } from '../../src/store/sqlite/waiting.ts'
import type { Wal } from '../../src/store/sqlite/wal.ts'
import { copyDatabase, PARTS } from './database-files.ts'
import { open, OVERDUE_MS, turn } from './deferred.ts'

type Done = (error?: unknown) => void

/** What the database has, as others see it. */
function countIn(t: Test, path: string): () => unknown {
  const beside = new DatabaseSync(path, { readOnly: true })
  t.teardown(() => beside.close())
  return () => beside.prepare('select count(*) as n from things').get()?.['n']
}

t.test('what is durable behind what is not goes with it', async (t) => {
  const ofDatabase: Done[] = []
  const ofFirst: Done[] = []
  let isBroken = false
  let made = 0
  const wal = (real: Wal): Wal => ({
    ...real,
    sync: (done) => void ofDatabase.push(done),
    checkpoint() {
      if (isBroken) throw Object.assign(new Error('broken'), { code: 'ERR_SQLITE_ERROR', errcode: 10 })
      real.checkpoint()
    }
  })
  const log = (real: RedoLog): RedoLog => ({
    ...real,
    ...(made++ === 0 && { sync: (done: Done) => void ofFirst.push(done) })
  })
  const { insert, ids, close } = open(t, join(t.testdir(), 'things.db'), { wal, log })
  const a = insert('a')
  await pause(OVERDUE_MS)
  const told: string[] = []
  const b = insert('b').finally(() => told.push('b'))
  await pause(50)
  t.same([ofDatabase.length, ofFirst.length, told], [1, 1, []], 'its own file is synced')
  isBroken = true
  ofDatabase.shift()?.(new Error('broken'))
  const results = await Promise.allSettled([a, b])
  for (const result of results) t.match(result, { status: 'rejected', reason: { code: 'store_unavailable' } })
  ofFirst.shift()?.()
  isBroken = false
  t.same(ids(), ['a', 'b'], 'nobody knew')
  const closing = close()
  for (let rest = 5; rest > 0; rest--) {
    for (const done of [...ofDatabase.splice(0), ...ofFirst.splice(0)]) done()
    await turn()
  }
  await closing
})

t.test('records that were taken back do not come behind another of their numbers', async (t) => {
  const syncs: Done[] = []
  let isHeld = false
  let isFull = false
  const log = (real: RedoLog): RedoLog => ({
    ...real,
    append: (number, text) => !isFull && real.append(number, text),
    sync: (done) => (isHeld ? void syncs.push(done) : real.sync(done))
  })
  const { path, insert, ids, close } = open(t, join(t.testdir(), 'things.db'), { log })
  await insert('a')
  isHeld = true
  const refused = Promise.allSettled([insert('b'), turn().then(() => insert('c', 'nobody'))])
  while (!fs.existsSync(`${path}-redo`) || !fs.readFileSync(`${path}-redo`).includes('"c"')) await turn()
  const before = fs.readFileSync(`${path}-redo`)
  syncs.shift()?.(new Error('broken'))
  for (const { status } of await refused) t.equal(status, 'rejected')
  isHeld = false
  isFull = true
  t.equal(await insert('d'), 'd')
  isFull = false
  t.equal(await insert('e'), 'e')
  const image = join(t.testdirName, 'image.db')
  copyDatabase(path, image)
  // What was written in their place is not on the disk.
  fs.writeFileSync(`${image}-redo`, before)
  const after = open(t, image)
  t.same(after.ids(), ['a', 'd', 'e'])
  await after.close()
  t.same(ids(), ['a', 'd', 'e'])
  await close()
})

t.test('what was read of a write that is refused is not answered', (t) => {
  const waiting = createWaiting(createDocumentCache())
  const log = createRedoLog(join(t.testdir(), 'redo'))
  const told: unknown[] = []
  const kept = (name: string) => (error?: unknown) => void told.push([name, error])
  waiting.addCommitted(kept('before'), false)
  waiting.addLogged(1, kept('durable'), log)
  waiting.reach(2, log)
  waiting.addLogged(1, kept('lost'), log)
  waiting.addCommitted(kept('read'), true)
  waiting.lose('broken')
  t.same(told, [
    ['lost', 'broken'],
    ['read', 'broken']
  ])
  waiting.reach(1)
  t.same(told.slice(2), [
    ['before', undefined],
    ['durable', undefined]
  ])
  t.end()
})

t.test('what took both files at a crash is committed in time', async (t) => {
  const syncs: Done[] = []
  const wal = (real: Wal): Wal => ({ ...real, sync: (done) => void syncs.push(done) })
  const { path, insert, close } = open(t, join(t.testdir(), 'things.db'), { wal })
  await insert('a')
  await pause(OVERDUE_MS)
  await insert('b')
  const image = join(t.testdirName, 'image.db')
  copyDatabase(path, image)
  fs.rmSync(`${image}-wal`)
  const after = open(t, image)
  const count = countIn(t, image)
  t.same(after.ids(), ['a', 'b'])
  t.equal(count(), 0)
  await pause(OVERDUE_MS)
  t.equal(count(), 2)
  t.equal(await after.insert('c'), 'c')
  await after.close()
  const closing = close()
  for (let rest = 5; rest > 0; rest--) {
    syncs.shift()?.()
    await turn()
  }
  await closing
})

t.test('what others commit while the log is synced is not copied', async (t) => {
  const path = join(t.testdir(), 'things.db')
  const syncs: Done[] = []
  const sync = (_: number, done: Done) => void syncs.push(done)
  const { db, insert, close } = open(t, path, { syncs: { sync, writesPerPart: 1 } })
  const rows = 'with p (n) as (values (1) union all select n + 1 from p where n < 500)'
  db.exec(`${rows} insert into things select 'p' || n, 'p1' from p; pragma wal_checkpoint(truncate)`)
  await insert('a')
  await pause(OVERDUE_MS)
  t.equal(syncs.length, 1)
  const image = join(t.testdirName, 'image.db')
  fs.copyFileSync(`${path}-wal`, `${image}-wal`)
  const other = new DatabaseSync(path)
  other.exec("pragma synchronous=normal; delete from things where id > 'p'")
  syncs.shift()?.()
  await turn()
  t.equal(syncs.length, 1, 'of the copy')
  fs.copyFileSync(path, image)
  const after = new DatabaseSync(image)
  t.same(after.prepare('pragma integrity_check').all(), [{ integrity_check: 'ok' }])
  t.equal(after.prepare('select count(*) as n from things').get()?.['n'], 501)
  after.close()
  other.close()
  syncs.shift()?.()
  await close()
})

t.test('a log is begun anew also when each commit meets the copy of the one before', async (t) => {
  const path = join(t.testdir(), 'things.db')
  const began = new Set<string>()
  const sync = (fd: number, done: Done) => {
    const isLog = fs.readlinkSync(`/proc/self/fd/${fd}`) !== path
    if (isLog) began.add(fs.readFileSync(`${path}-wal`).toString('hex', 16, 24))
    setTimeout(done, isLog ? 100 : 200)
  }
  const { insert, close } = open(t, path, { syncs: { sync, writesPerPart: 1, maxFrames: 12 } })
  for (const end = Date.now() + 6_000; Date.now() < end; ) {
    await insert(String(Date.now() % 10))
    await pause(5)
  }
  t.ok(began.size > 1, `${began.size} times`)
  await close()
})

t.test('a database that a link leads to has its log where that is', async (t) => {
  const path = join(t.testdir({ real: {} }), 'things.db')
  fs.symlinkSync(join(t.testdirName, 'real', 'things.db'), path)
  const wal = (real: Wal): Wal => ({ ...real, checkpoint: () => t.fail('no sync has failed') })
  const { insert, close } = open(t, path, { wal })
  t.equal(await insert('a'), 'a')
  await pause(OVERDUE_MS)
  await close()
})

t.test('who starts makes durable what is there, and what must not come back', async (t) => {
  const { path, insert, close } = open(t)
  await insert('a')
  await pause(OVERDUE_MS)
  await insert('b')
  const image = join(t.testdirName, 'image.db')
  copyDatabase(path, image)
  await close()
  const synced: string[] = []
  const real = fs.fdatasyncSync
  t.teardown(() => {
    fs.fdatasyncSync = real
    syncBuiltinESMExports()
  })
  fs.fdatasyncSync = (fd) => {
    synced.push(fs.readlinkSync(`/proc/self/fd/${fd}`))
    real(fd)
  }
  syncBuiltinESMExports()
  connect({ path: image, specs: [] }).close()
  const files = PARTS.map((part) => image + part)
  t.same(synced, files)
  createRedoLog(`${image}-redo`).wipe()
  t.same(synced, [...files, `${image}-redo`])
})
