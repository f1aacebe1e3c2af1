import { copyFileSync, existsSync, fdatasync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RedoLog } from '../../src/store/sqlite/redo-log.ts'
import { LAG_MS } from '../../src/store/sqlite/transactions.ts'
import type { WalOptions } from '../../src/store/sqlite/wal.ts'
import { PARTS } from './database-files.ts'
import { open, turn } from './deferred.ts'
import { createRandom } from './random.ts'

t.setTimeout(300_000)

const ROUNDS = 80
const BLOCK = 512
const WAL_HEADER = 32

function bytesOf(path: string): Buffer {
  return existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
}

/**
 * A database with slow syncs that run beside each other, and what of its files is durable: all that was written before a sync of
 * that file began which has ended. So many of 100 records find no room in a log.
 */
function slow(t: Test, random: (below: number) => number, refusals: number) {
  const path = join(t.testdir(), 'things.db')
  const durable = new Map<string, Buffer>()
  const seen = { copies: 0, logs: new Set<string>() }

  function synced(file: string, done: (error: unknown) => void, real: (done: (error: unknown) => void) => void): void {
    const bytes = bytesOf(file)
    real((error) => {
      setTimeout(
        () => {
          durable.set(file, bytes)
          done(error)
        },
        random(4) === 0 ? random(2 * LAG_MS) : random(10)
      )
    })
  }

  let made = 0
  const log = (real: RedoLog): RedoLog => {
    const file = path + (PARTS[2 + made++] ?? '')
    const append = (number: number, text: string) => random(100) >= refusals && real.append(number, text)
    return { ...real, append, sync: (done) => synced(file, done, real.sync) }
  }
  const sync: WalOptions['sync'] = (fd, done) =>
    synced(readlinkSync(`/proc/self/fd/${fd}`), done, (end) => {
      if (readlinkSync(`/proc/self/fd/${fd}`) === path) seen.copies++
      seen.logs.add(bytesOf(`${path}-wal`).toString('hex', 0, WAL_HEADER))
      fdatasync(fd, end)
    })
  const store = open(t, path, { log, syncs: { sync, writesPerPart: 20 } })
  // What SQLite makes durable by itself is not seen here.
  store.db.exec('pragma wal_checkpoint(truncate); pragma wal_autocheckpoint=0')
  durable.set(path, readFileSync(path))

  /** Writes what a power failure could leave: of what no sync covers, some blocks are there and others are not. */
  function fail(image: string): void {
    for (const part of PARTS) {
      const written = bytesOf(path + part)
      const file = Buffer.alloc(written.length)
      durable.get(path + part)?.copy(file)
      const chance = random(4)
      for (let start = 0; start < written.length; start += BLOCK)
        if (random(4) < chance) written.copy(file, start, start, start + BLOCK)
      // Begun anew, a log of SQLite is made durable at once, as far as that.
      if (part === '-wal') written.copy(file, 0, 0, WAL_HEADER)
      writeFileSync(image + part, file)
    }
  }
  return { ...store, fail, seen }
}

/** All rows in the order of their names. */
function idsIn({ transactions, db }: ReturnType<typeof open>): string[] {
  transactions.catchUp()
  return db
    .prepare('select id from things order by id')
    .all()
    .map((row) => String(row['id']))
}

/** How many rows the database has without its redo logs. */
function countAlone(image: string): number {
  const alone = `${image}-alone`
  for (const part of PARTS.slice(0, 2)) copyFileSync(image + part, alone + part)
  const db = new DatabaseSync(alone)
  const { n } = db.prepare('select count(*) as n from things').get() ?? {}
  db.close()
  rmSync(alone)
  return Number(n)
}

/** Writes without end, and has the power fail again and again. */
async function surviveAll(t: Test, refusals: number) {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const random = createRandom(seed)
  const store = slow(t, random, refusals)
  const asked: string[] = []
  const acknowledged: string[] = []
  const state = { isOver: false }
  let lost = 0
  let behind = 0

  async function write(): Promise<void> {
    while (!state.isOver) {
      const id = `n${String(asked.length).padStart(6, '0')}`
      asked.push(id)
      void store.insert(id).then(() => acknowledged.push(id))
      if (random(3) > 0) await turn()
      if (random(6) === 0) await pause(random(30))
    }
  }

  const writing = write()
  for (let round = 0; round < ROUNDS; round++) {
    await pause(random(60))
    const image = join(t.testdirName, `image-${round}.db`)
    store.fail(image)
    const [all, told] = [[...asked], [...acknowledged]]
    const alone = countAlone(image)
    const after = open(t, image)
    const there = idsIn(after)
    t.same(there, all.slice(0, there.length), `in order; seed ${seed}, round ${round}`)
    t.same(told, all.slice(0, told.length), 'so are the answers')
    t.ok(there.length >= told.length, `${there.length} there, ${told.length} acknowledged`)
    if (there.length < all.length) lost++
    if (alone < there.length) behind++
    const next = `n${String(there.length).padStart(6, '0')}`
    t.equal(await after.insert(next), next, 'it goes on')
    await after.close()
    const last = open(t, image)
    t.same(idsIn(last), [...there, next])
    await last.close()
    for (const part of PARTS) rmSync(image + part, { force: true })
  }
  state.isOver = true
  await writing
  await store.close()
  t.same(acknowledged, asked)
  t.ok(lost > 0 && behind > 0, `${lost} times something was lost, ${behind} times the log had more`)
  return { copies: store.seen.copies, begun: store.seen.logs.size }
}

t.test('whatever has reached the disk: it is the first so many writes, and all that were acknowledged', async (t) => {
  const seen = { copies: 0, begun: 0 }
  const survive = async (t: Test, refusals: number) => {
    const { copies, begun } = await surviveAll(t, refusals)
    seen.copies += copies
    seen.begun += begun
  }
  await t.test('by the logs', (t) => survive(t, 0))
  await t.test('by the logs and the database', (t) => survive(t, 5))
  await t.test('mostly by the database', (t) => survive(t, 50))
  const { copies, begun } = seen
  t.ok(copies > 5 && begun > 3, `${copies} times the database was copied to, ${begun} times its log begun`)
})
