import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { setTimeout as pause } from 'node:timers/promises'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/port.ts'
import { collections, type MetaRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { copyDatabase, redoSizeOf } from './database-files.ts'

t.setTimeout(300_000)

/** All writes go into the log. */
const NONE_IS_FEW = 0

function open(t: Test, few = NONE_IS_FEW) {
  const path = join(t.testdir(), 'things.db')
  const store = createSqliteStore({ path, specs: contractSpecs, few })
  t.teardown(() => store.close())
  return { path, store, ...collectionsOf(store) }
}

function collectionsOf(store: Store) {
  return { things: store.collection<Thing>('things'), notes: store.collection<Thing>('notes') }
}

/** What a crash at this moment would leave: the files as they are. `spoil` is what else it does to them. */
async function afterCrash<T>(
  path: string,
  look: (store: Store) => Promise<T>,
  spoil?: (path: string) => void
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'crash-'))
  const image = join(folder, 'things.db')
  copyDatabase(path, image)
  spoil?.(image)
  const store = createSqliteStore({ path: image, specs: contractSpecs })
  try {
    return await look(store)
  } finally {
    await store.close()
    rmSync(folder, { recursive: true })
  }
}

async function allOf(store: Store): Promise<unknown[]> {
  const { things, notes } = collectionsOf(store)
  return [await things.list({ limit: 1000 }), await notes.list({ limit: 1000 })]
}

type Command =
  | { kind: 'remove'; id: string }
  | { kind: 'insert'; id: string; note: boolean; text: string }
  | { kind: 'update'; id: string; by: number; note: 'none' | 'new' | 'taken' }

const id = fc.constantFrom('a', 'b', 'c')
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constant('remove' as const), id }),
  fc.record({ kind: fc.constant('insert' as const), id, note: fc.boolean(), text: fc.string({ unit: 'binary' }) }),
  fc.record({
    kind: fc.constant('update' as const),
    id,
    by: fc.integer({ min: -2, max: 2 }),
    note: fc.constantFrom('none' as const, 'new' as const, 'taken' as const)
  })
)
/** Commands of one turn, and whether the database catches up behind them. */
const turns = fc.array(fc.tuple(fc.array(command, { minLength: 1, maxLength: 6 }), fc.nat({ max: 9 })), {
  maxLength: 8
})

t.test('after a crash everything is there that was acknowledged, and nothing else', async (t) => {
  const { path, store, things, notes } = open(t)
  await notes.insert({ id: 'taken' })
  let made = 0
  let crashes = 0

  function perform(asked: Command): Promise<unknown> {
    const append = (note: string) => (note === 'none' ? [] : [{ collection: 'notes', document: { id: note } }])
    if (asked.kind === 'remove') return things.remove(asked.id)
    if (asked.kind === 'insert')
      return things.insert(
        { id: asked.id, name: asked.text, rank: made, amount: 1 },
        append(asked.note ? `n${made++}` : 'none')
      )
    const note = asked.note === 'new' ? `n${made++}` : asked.note
    return things.update(asked.id, {}, { inc: { amount: asked.by }, set: { half: made } }, append(note))
  }

  const survives = fc.asyncProperty(turns, async (sequence) => {
    for (const [turn, rest] of sequence) {
      await Promise.allSettled(turn.map(perform))
      if (rest === 0) await pause(270)
      const there = await allOf(store)
      if (rest < 5 && !isDeepStrictEqual(await afterCrash(path, allOf), there)) return false
      crashes++
    }
    return true
  })
  await t.resolves(fc.assert(survives, { numRuns: 60 }))
  t.ok(crashes > 50 && made > 50)
})

t.test('what a crash has torn is not there, and nothing of it', async (t) => {
  const { path, store, things } = open(t)
  await things.insert({ id: 'a', amount: 1 })
  const sizes = [lengthOf(path)]
  await Promise.all([
    things.update('a', {}, { inc: { amount: 1 } }, [{ collection: 'notes', document: { id: 'n' } }]),
    things.insert({ id: 'b' })
  ])
  sizes.push(lengthOf(path))
  const left = join(t.testdirName, 'left.db')
  copyDatabase(path, left)
  const [whole = 0, all = 0] = sizes
  t.ok(all > whole)
  const before = [[{ id: 'a', amount: 1 }], []]
  for (let end = whole; end < all; end++) {
    const seen = await afterCrash(left, allOf, (image) => truncateSync(`${image}-redo`, end))
    if (!isDeepStrictEqual(seen, before)) t.fail(`cut at ${end}`)
    const flipped = await afterCrash(left, allOf, (image) => {
      const bytes = readFileSync(`${image}-redo`)
      bytes[end] = (bytes[end] ?? 0) ^ 0x10
      writeFileSync(`${image}-redo`, bytes)
    })
    if (!isDeepStrictEqual(flipped, before)) t.fail(`spoilt at ${end}`)
  }
  t.strictSame(await afterCrash(left, allOf), await allOf(store))
})

/** Where the last record ends: behind it there are only zeros. */
function lengthOf(path: string): number {
  return readFileSync(`${path}-redo`).findLastIndex((byte) => byte !== 0) + 1
}

t.test('a record is applied once: not again when the database has it, and not to another one', async (t) => {
  const { path, store, things } = open(t)
  await things.insert({ id: 'a', amount: 1 })
  await pause(300)
  const log = readFileSync(`${path}-redo`)
  t.ok(log.includes('"amount":1'), 'what was committed is still in the file')
  await store.close()
  t.equal(redoSizeOf(path), 0, 'who leaves, leaves nothing behind')

  const calm = createSqliteStore({ path, specs: contractSpecs, few: Infinity })
  await calm.collection<Thing>('things').update('a', {}, { inc: { amount: 1 } })
  await calm.close()
  const seen = await afterCrash(path, allOf, (image) => writeFileSync(`${image}-redo`, log))
  t.strictSame(seen, [[{ id: 'a', amount: 2 }], []])
})

t.test('a crash in the midst of the recovery is recovered from', async (t) => {
  const { path, store, things } = open(t)
  await Promise.all(Array.from({ length: 50 }, (_, i) => things.insert({ id: `t${i}`, rank: i })))
  await things.update('t1', {}, { set: { rank: -1 } })
  const seen = await afterCrash(path, async (first) => {
    t.equal(await first.collection('things').count({}), 50)
    // It has applied the log, and not committed.
    return allOf(first)
  })
  t.strictSame(seen, await allOf(store))
  await afterCrash(path, async (first) => {
    await first.collection('things').get('t1')
    return undefined
  })
  t.strictSame(await afterCrash(path, allOf), seen)
})

t.test('what does not fit into the log is durable all the same', async (t) => {
  const { path, store, things } = open(t)
  await things.insert({ id: 'a', rank: 0 })
  for (let i = 0; i < 12; i++) await things.update('a', {}, { set: { name: 'x'.repeat(500_000), rank: i } })
  t.equal((await afterCrash(path, (image) => collectionsOf(image).things.get('a')))?.rank, 11)
  await things.insert({ id: 'large', name: 'y'.repeat(5_000_000) })
  t.ok(redoSizeOf(path) <= 9 * 1024 * 1024)
  t.strictSame(await afterCrash(path, allOf), await allOf(store))
})

t.test('a few writes go into the database at once, where others see them', async (t) => {
  const { path, store, things } = open(t, 16)
  await things.insert({ id: 'a', rank: 1 })
  const beside = createSqliteStore({ path, specs: contractSpecs, readOnly: true })
  t.teardown(() => beside.close())
  t.strictSame(await allOf(beside), await allOf(store))
  await Promise.all(Array.from({ length: 40 }, (_, i) => things.insert({ id: `t${i}`, rank: i })))
  t.equal(await things.count({}), 41, 'who writes sees it')
  t.equal(await beside.collection('things').count({}), 1)
  await pause(300)
  t.equal(await beside.collection('things').count({}), 41, 'and others a moment later')
})

t.test('who looks at the data of a gateway that died sees all of it', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  const path = join(dataDir, 'gateway.db')
  const first = await openStore({ dataDir }, { mode: 'serve' })
  await first.close()
  const store = createSqliteStore({ path, specs: collections, few: NONE_IS_FEW })
  await store.collection<MetaRow>('meta').insert({ id: 'late', value: 1 })
  const image = join(t.testdirName, 'image')
  mkdirSync(image)
  copyDatabase(path, join(image, 'gateway.db'))
  await store.close()

  const seen = await openStore({ dataDir: image }, { mode: 'inspect' })
  t.equal((await seen.collection<MetaRow>('meta').get('late'))?.value, 1)
  await seen.close()
  t.equal(redoSizeOf(join(image, 'gateway.db')), 0)
})
