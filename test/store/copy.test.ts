import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AppError } from '../../src/errors.ts'
import { createSystemClock } from '../../src/clock.ts'
import { copyStore, type CopyOptions } from '../../src/store/copy.ts'
import { beginMove, refuseUnfinished } from '../../src/store/move.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import type { Collection, CollectionSpec, Document, Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { withMongo } from '../servers/mongodb.ts'

const specs: CollectionSpec[] = [{ name: 'meta' }, ...contractSpecs]
t.setTimeout(300_000)

type Open = (t: Test, name: string) => Promise<Store>

const openSqlite: Open = async (t, name) => {
  const store = createSqliteStore({ path: join(t.testdirName, `${name}.db`), specs })
  t.teardown(() => store.close())
  return store
}

const copy = (source: Store, target: Store, more: Partial<CopyOptions> = {}) =>
  copyStore({ source, target, specs, onCollection: async () => {}, onProgress: () => {}, ...more })

async function contentOf(store: Store, name: string): Promise<Thing[]> {
  return store.collection<Thing>(name).list({ limit: 1000 })
}

/** The store with other answers for the operations of one collection. */
function tampered(store: Store, name: string, changed: Partial<Collection<Document>>): Store {
  return {
    ...store,
    collection<D extends Document>(asked: string) {
      const real = store.collection<D>(asked)
      return asked === name ? { ...real, ...(changed as Partial<Collection<D>>) } : real
    }
  }
}

/** What a copy keeps, whatever the target is. */
function copyCases(t: Test, kind: string, open: Open): void {
  void t.test(`${kind}: a target becomes what the source is, from whatever it was`, async (t) => {
    t.testdir()
    const source = await openSqlite(t, 'source')
    const target = await open(t, 'target')
    const things = source.collection<Thing>('things')
    const before = target.collection<Thing>('things')
    // In UTF-8 the second of the last two comes first, in UTF-16 the first.
    const ids = ['a', 'b', 'c', 'd', 'ü', '😀', '\uffee']
    for (const id of ids) await things.insert({ id, kind: 'k', amount: 1, nested: { n: [0, -0, 1e300] } })
    for (const id of ['0 only here', 'b', 'c', 'm only here', '\uffee', '🙂 only here'])
      await before.insert({ id, kind: id === 'b' ? 'k' : 'stale', rank: 1 })
    await source.collection('notes').insert({ id: 'n' })
    await source.collection('meta').insert({ id: 'installation' })
    await target.collection<Thing>('meta').insert({ id: 'schema', value: 'its own' })

    const [meta, copied] = await copy(source, target)
    t.same(meta, { name: 'meta', sourceCount: 0, targetCount: 0, changes: 0, refused: 0 })
    t.same(copied, { name: 'things', sourceCount: 7, targetCount: 7, changes: 10, refused: 0 })
    t.strictSame(await contentOf(target, 'things'), JSON.parse(JSON.stringify(await contentOf(source, 'things'))))
    t.same(await contentOf(target, 'meta'), [{ id: 'schema', value: 'its own' }])
    for (const { changes, refused } of await copy(source, target)) t.equal(changes + refused, 0, 'alike')
  })

  void t.test(`${kind}: unique keys that have changed hands take a second round`, async (t) => {
    t.testdir()
    const source = await openSqlite(t, 'source')
    const target = await open(t, 'target')
    for (const [id, name] of [
      ['a', 'x'],
      ['b', 'y'],
      ['c', 'z']
    ] as const)
      await source.collection<Thing>('things').insert({ id, name })
    for (const [id, name] of [
      ['b', 'x'],
      ['d', 'z']
    ] as const)
      await target.collection<Thing>('things').insert({ id, name })
    // And two that have exchanged theirs.
    for (const [id, name] of [
      ['e', 'p'],
      ['f', 'q']
    ] as const) {
      await source.collection<Thing>('things').insert({ id, name })
      await target.collection<Thing>('things').insert({ id, name: name === 'p' ? 'q' : 'p' })
    }
    const refused = async () => (await copy(source, target)).reduce((sum, one) => sum + one.refused, 0)
    t.ok((await refused()) > 0)
    t.equal(await refused(), 0)
    t.strictSame(await contentOf(target, 'things'), await contentOf(source, 'things'))
  })

  void t.test(`${kind}: small and large documents fill pages of a bounded size`, async (t) => {
    t.testdir()
    const source = await openSqlite(t, 'source')
    const target = await open(t, 'target')
    const things = source.collection<Thing>('things')
    const text = 'ü'.repeat(1_000_000)
    await Promise.all(Array.from({ length: 300 }, (_, i) => things.insert({ id: `small ${i}` })))
    await Promise.all(Array.from({ length: 12 }, (_, i) => things.insert({ id: `large ${i}`, text })))
    const limits: number[] = []
    const counted = tampered(source, 'things', {
      list(query) {
        limits.push(query.limit)
        return things.list(query)
      }
    })
    const progress: [string, number, boolean][] = []
    const [, copied] = await copy(counted, target, { onProgress: (...told) => progress.push(told) })
    t.equal(copied?.targetCount, 312)
    t.ok(Math.max(...limits) <= 400 && limits.includes(4), limits.join(' '))
    t.same(progress.at(1), ['things', 312, true])
    t.equal(await target.collection('things').count({}), 312)
  })
}

copyCases(t, 'SQLite', openSqlite)

void withMongo(t, 'the copy', async (t, { url, name, freshDatabase }) => {
  const clock = createSystemClock()
  copyCases(t, name, async (t) => {
    const { store, makeIndexes } = await connectMongo({ url, database: freshDatabase() }, { specs, clock })
    t.teardown(() => store.close())
    await makeIndexes()
    return store
  })
})

t.test('a store that fails is told apart from the other one', async (t) => {
  t.testdir()
  const source = await openSqlite(t, 'source')
  const target = await openSqlite(t, 'target')
  await source.collection('things').insert({ id: 'a' })
  const away = async (): Promise<never> => {
    throw new AppError('store_unavailable', {}, { cause: new Error('MongoNetworkError') })
  }
  const sentence = (side: string) => ({
    message: `The ${side} failed: MongoNetworkError. Repeat the command to go on.`
  })
  await t.rejects(copy(tampered(source, 'things', { list: away }), target), sentence('source'))
  await t.rejects(copy(source, tampered(target, 'notes', { list: away })), sentence('target'))
  await source.collection('things').insert({ id: 'b' })
  const full = tampered(target, 'things', { insert: away })
  await t.rejects(copy(source, { ...full, ping: away }), sentence('target'))
  await t.rejects(copy(source, full), { message: 'The target did not take b of things (2 bytes): MongoNetworkError.' })
})

t.test('the mark of a move lets its own source go on, and nobody else in', async (t) => {
  t.testdir()
  const target = await openSqlite(t, 'target')
  const begin = (source: string, now: number) => beginMove(target, { source, specs, now, hasFiles: async () => false })
  await t.rejects(beginMove(target, { source: 'one', specs, now: 0, hasFiles: async () => true }), {
    message: /has files/
  })
  const first = await begin('one', 1)
  t.equal(first.earlier, undefined)
  await t.rejects(refuseUnfinished(target), { message: /not whole/ })
  await first.reached('things')
  await target.collection('things').insert({ id: 'a' })
  t.same((await begin('one', 2)).earlier, { startedAt: 1, collection: 'things' })
  await t.rejects(begin('other', 3), { message: /unfinished move from another source/ })
  await first.end()
  await refuseUnfinished(target)
  await t.rejects(begin('one', 4), { message: /not empty: it has documents in things/ })
})
