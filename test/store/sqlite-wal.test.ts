import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Wal } from '../../src/store/sqlite/wal.ts'
import { copyDatabase } from './database-files.ts'
import { open, OVERDUE_MS, turn } from './deferred.ts'

/** A store of which the syncs of the database end when the test says so, and as it says. */
function held(t: Test) {
  const syncs: ((error?: unknown) => void)[] = []
  const state = { isBroken: false }
  const wal = (real: Wal): Wal => ({
    ...real,
    sync: (done) => void syncs.push(done),
    checkpoint() {
      if (state.isBroken) throw Object.assign(new Error('broken'), { code: 'ERR_SQLITE_ERROR', errcode: 10 })
      real.checkpoint()
    }
  })
  const store = open(t, join(t.testdir(), 'things.db'), { wal })
  const beside = new DatabaseSync(store.path, { readOnly: true })
  t.teardown(() => beside.close())
  const count = () => beside.prepare('select count(*) as n from things').get()?.['n']
  /** Ends the syncs that are under way, too, and those that come of it. */
  const close = async () => {
    const closing = store.close()
    for (let rest = 5; rest > 0; rest--) {
      for (const done of syncs.splice(0)) done()
      await turn()
    }
    await closing
  }
  return { ...store, syncs, state, count, close }
}

/** What a power failure would leave that takes all of SQLite's log: opened. */
function afterPowerFailure(t: Test, path: string) {
  const image = join(t.testdirName, `failed-${Math.random()}.db`)
  copyDatabase(path, image)
  rmSync(`${image}-wal`)
  return open(t, image)
}

t.test('the records of a commit are kept until it is durable, and the next commit waits for that', async (t) => {
  const { path, insert, ids, count, syncs, close } = held(t)
  await insert('a')
  await pause(OVERDUE_MS)
  t.equal(count(), 1, 'committed')
  t.equal(syncs.length, 1)
  await insert('b')
  await insert('c')
  await pause(OVERDUE_MS)
  t.equal(count(), 1, 'both files are needed')
  const after = afterPowerFailure(t, path)
  t.same(after.ids(), ['a', 'b', 'c'], 'one goes on where the other ends')
  t.equal(await after.insert('d'), 'd')
  await after.close()
  syncs.shift()?.()
  t.equal(count(), 3, 'overdue')
  t.same(ids(), ['a', 'b', 'c'])
  await close()
})

t.test('what comes behind a record that is not there is not applied', async (t) => {
  const { path, insert, close } = held(t)
  await insert('a')
  await insert('b')
  await pause(OVERDUE_MS)
  await insert('c')
  const image = join(t.testdirName, 'torn.db')
  copyDatabase(path, image)
  rmSync(`${image}-wal`)
  const log = readFileSync(`${image}-redo`)
  log[log.indexOf('"b"') + 1] = 0x78
  writeFileSync(`${image}-redo`, log)
  const after = open(t, image)
  t.same(after.ids(), ['a'], 'c was asked for after b')
  await after.insert('d')
  const later = `${image}-later`
  copyDatabase(image, later)
  const last = open(t, later)
  t.same(last.ids(), ['a', 'd'], 'and does not come back')
  await Promise.all([after.close(), last.close()])
  await close()
})

t.test('a sync of the database that fails is made good by a checkpoint', async (t) => {
  const { path, insert, ids, count, syncs, close } = held(t)
  await insert('a')
  await pause(OVERDUE_MS)
  const b = insert('b')
  await turn()
  syncs.shift()?.(new Error('broken'))
  t.equal(await b, 'b')
  t.equal(count(), 2)
  const image = join(t.testdirName, 'alone.db')
  copyFileSync(path, image)
  const alone = open(t, image)
  t.same(alone.ids(), ['a', 'b'], 'the file alone has it all')
  await alone.close()
  t.same(ids(), ['a', 'b'])
  await close()
})

t.test('while that fails too, nothing is answered that could be gone, and nothing is lost that was', async (t) => {
  const { path, insert, ids, state, syncs, close } = held(t)
  await insert('a')
  await pause(OVERDUE_MS)
  await insert('b')
  state.isBroken = true
  syncs.shift()?.(new Error('broken'))
  t.throws(() => ids(), { code: 'ERR_SQLITE_ERROR' })
  await t.rejects(insert('c'), { code: 'store_unavailable' })
  t.equal(syncs.length, 0, 'a sync that succeeds now would prove nothing')
  const after = afterPowerFailure(t, path)
  t.same(after.ids(), ['a', 'b'])
  await after.close()
  state.isBroken = false
  t.same(ids(), ['a', 'b'], 'as soon as the disk is well again')
  t.equal(await insert('d'), 'd')
  await close()
  const last = open(t, path)
  t.same(last.ids(), ['a', 'b', 'd'])
  await last.close()
})
