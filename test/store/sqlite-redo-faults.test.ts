import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RedoLog } from '../../src/store/sqlite/redo-log.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { copyDatabase } from './database-files.ts'
import { open, OVERDUE_MS, turn } from './deferred.ts'

/** What the database has, as others see it. */
function countIn(t: Test, path: string): () => unknown {
  const beside = new DatabaseSync(path, { readOnly: true })
  t.teardown(() => beside.close())
  return () => beside.prepare('select count(*) as n from things').get()?.['n']
}

/** What a crash would leave now, opened. */
function crashed(t: Test, path: string) {
  const image = join(t.testdirName, `crashed-${Math.random()}.db`)
  copyDatabase(path, image)
  return open(t, image)
}

/** A connection whose next commit fails with this, as often as asked for. */
function failing(errcode: number) {
  const state = { times: 0 }
  const failed = (real: DatabaseSync) =>
    new Proxy(real, {
      get(target, key) {
        if (key !== 'prepare') {
          const value: unknown = Reflect.get(target, key, target)
          return typeof value === 'function' ? value.bind(target) : value
        }
        return (sql: string) => {
          const statement = target.prepare(sql)
          if (sql !== 'commit') return statement
          return {
            run() {
              if (state.times-- > 0) throw Object.assign(new Error('broken'), { code: 'ERR_SQLITE_ERROR', errcode })
              return statement.run()
            }
          }
        }
      }
    })
  return { state, failed }
}

/** Undoes the transaction that a write has begun, before its record is durable. */
async function undone<T>(db: DatabaseSync, write: Promise<T>): Promise<T> {
  await turn()
  db.exec('rollback')
  return write
}

t.test('what SQLite has undone by itself is begun again from the log', async (t) => {
  const { path, db, insert, ids, close } = open(t)
  await undone(db, insert('a'))
  t.same(ids(), ['a'], 'for readers')
  await undone(db, insert('b'))
  t.equal(await insert('c'), 'c', 'for writers')
  t.same(ids(), ['a', 'b', 'c'])
  await undone(db, insert('d'))
  await pause(OVERDUE_MS)
  t.same(ids(), ['a', 'b', 'c', 'd'], 'and when nobody asks')
  await undone(db, insert('e'))
  const after = crashed(t, path)
  t.same(after.ids(), ['a', 'b', 'c', 'd', 'e'])
  await after.close()
  await close()
  const last = open(t, path)
  t.same(last.ids(), ['a', 'b', 'c', 'd', 'e'], 'and at the end')
  await last.close()
})

const IOERR_FSYNC = 1034
const FULL = 13

t.test('behind a commit that a crash may complete, nothing is acknowledged from the log', async (t) => {
  const { state, failed } = failing(IOERR_FSYNC)
  const { path, insert, ids, close } = open(t, join(t.testdir(), 'things.db'), { db: failed })
  const count = countIn(t, path)
  state.times = 1
  await insert('a')
  await pause(OVERDUE_MS)
  t.equal(count(), 0)
  t.equal(await insert('b'), 'b')
  t.equal(count(), 2, 'at once')
  t.equal(await insert('c'), 'c')
  t.same(ids(), ['a', 'b', 'c'])
  await close()
})

t.test('while the disk is full the log takes what there is room for', async (t) => {
  const { state, failed } = failing(FULL)
  const { path, insert, ids, close } = open(t, join(t.testdir(), 'things.db'), { db: failed })
  const count = countIn(t, path)
  state.times = Infinity
  await insert('a')
  await pause(OVERDUE_MS)
  t.equal(await insert('b'), 'b')
  t.equal(count(), 0)
  t.same(ids(), ['a', 'b'])
  const after = crashed(t, path)
  t.same(after.ids(), ['a', 'b'])
  await after.close()
  state.times = 0
  await close()
  t.equal(count(), 2)
})

t.test('a sync that fails is the end also for what was added behind it', async (t) => {
  const syncs: ((error: unknown) => void)[] = []
  const log = (real: RedoLog): RedoLog => ({ ...real, sync: (done) => void syncs.push(done) })
  const { path, insert, ids, close } = open(t, join(t.testdir(), 'things.db'), { log })
  const count = countIn(t, path)
  const a = insert('a')
  await turn()
  const b = insert('b')
  await turn()
  t.equal(count(), 0)
  syncs.shift()?.(new Error('broken'))
  t.equal(count(), 2, 'the system tells a failure once, and not which of the records it hit')
  t.same(await Promise.all([a, b]), ['a', 'b'])
  t.equal(syncs.length, 0)
  t.same(ids(), ['a', 'b'])
  await close()
})

t.test('a sync that fails or comes late is of no use for what the database has made durable', async (t) => {
  const syncs: ((error?: unknown) => void)[] = []
  const log = (real: RedoLog): RedoLog => ({ ...real, sync: (done) => void syncs.push(done) })
  const { path, insert, ids, close } = open(t, join(t.testdir(), 'things.db'), { log })
  const count = countIn(t, path)
  t.same(await Promise.all([insert('a'), pause(OVERDUE_MS)]), ['a', undefined], 'the commit comes before the sync')
  let isAnswered = false
  const b = insert('b').then(() => {
    isAnswered = true
  })
  await turn()
  t.equal(syncs.length, 2, 'of another file')
  syncs.shift()?.(new Error('broken'))
  await turn()
  t.same([count(), isAnswered], [1, false])
  syncs.shift()?.()
  await b
  t.same(ids(), ['a', 'b'])
  await close()
})

t.test('a sync that comes late says nothing of what was added behind it', async (t) => {
  const syncs: ((error?: unknown) => void)[] = []
  const log = (real: RedoLog): RedoLog => ({ ...real, sync: (done) => void syncs.push(done) })
  const { insert, close } = open(t, join(t.testdir(), 'things.db'), { log })
  const order: string[] = []
  const asked = [insert('a').then((id) => order.push(id))]
  await turn()
  asked.push(
    insert('b').then((id) => order.push(id)),
    insert('c').then((id) => order.push(id))
  )
  await turn()
  t.equal(syncs.length, 1, 'one at a time')
  syncs.shift()?.()
  await turn()
  t.same(order, ['a'])
  t.equal(syncs.length, 1)
  syncs.shift()?.()
  await Promise.all(asked)
  t.same(order, ['a', 'b', 'c'])
  await close()
})

t.test('what is remembered goes with what is lost, whatever was undone and told before', async (t) => {
  for (const isUndone of [false, true]) {
    const syncs: (() => void)[] = []
    let isBroken = false
    const log = (real: RedoLog): RedoLog => ({
      ...real,
      sync(done) {
        if (isBroken) syncs.push(() => done(new Error('broken')))
        else real.sync((error) => syncs.push(() => done(error)))
      }
    })
    const { insert, failed, ids, close } = open(t, join(t.testdir(), 'things.db'), { log })
    const b = insert('b')
    await turn()
    if (isUndone) await t.rejects(failed(), { code: 'store_unavailable' })
    const c = insert('c', 'nobody')
    while (syncs.length === 0) await turn()
    isBroken = true
    syncs.shift()?.()
    t.equal(await b, 'b')
    syncs.shift()?.()
    await t.rejects(c, { code: 'store_unavailable' })
    t.same(ids(), ['b'])
    t.equal(syncs.length, 0)
    await close()
  }
})

t.test('any number of the database will do', async (t) => {
  for (const number of [-5, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    const path = join(t.testdir(), 'things.db')
    const db = new DatabaseSync(path)
    db.exec(`pragma user_version=${number}`)
    db.close()
    const first = open(t, path)
    for (const id of ['a', 'b']) {
      t.equal(await first.insert(id), id)
      await pause(OVERDUE_MS)
    }
    await first.insert('c')
    const after = crashed(t, path)
    t.same(after.ids(), ['a', 'b', 'c'], String(number))
    await after.close()
    await first.close()
  }
})

t.test('a log is not applied to an older state of its database', async (t) => {
  const path = join(t.testdir(), 'things.db')
  const backup = join(t.testdirName, 'backup.db')
  const calm = createSqliteStore({ path, specs: contractSpecs, few: Infinity })
  const entry = (id: string) => [{ collection: 'notes', document: { id } }]
  await calm.collection<Thing>('things').insert({ id: 'a', amount: 0 })
  new DatabaseSync(path).exec(`vacuum into '${backup}'`)
  await calm.collection('things').update('a', {}, { inc: { amount: 1 } }, entry('n1'))
  await calm.close()
  const busy = createSqliteStore({ path, specs: contractSpecs, few: 0 })
  t.teardown(() => busy.close())
  await busy.collection('things').update('a', {}, { inc: { amount: 1 } }, entry('n2'))
  copyFileSync(`${path}-redo`, `${backup}-redo`)
  const restored = createSqliteStore({ path: backup, specs: contractSpecs })
  t.teardown(() => restored.close())
  t.same(await restored.collection<Thing>('things').get('a'), { id: 'a', amount: 0 })
  t.equal(await restored.collection('notes').count({}), 0, 'else there were amounts without their entries')
})

t.test('a store may be closed twice, and leaves nothing open', async (t) => {
  const path = join(t.testdir(), 'things.db')
  const store = createSqliteStore({ path, specs: contractSpecs, few: 0 })
  const things = store.collection<Thing>('things')
  const asked = Promise.allSettled(Array.from({ length: 600 }, (_, i) => things.insert({ id: `t${i}` })))
  await Promise.all([store.close(), store.close()])
  await store.close()
  const made = (await asked).filter(({ status }) => status === 'fulfilled').length
  t.equal(made, 600, 'what was asked for before')
  await t.rejects(things.insert({ id: 'late' }), { code: 'store_unavailable' })
  await t.rejects(things.get('t1'), { code: 'store_unavailable' })
  const next = createSqliteStore({ path, specs: contractSpecs })
  t.teardown(() => next.close())
  t.equal(await next.collection('things').count({}), made)
})
