import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import type { CollectionSpec, Document } from '../../src/store/port.ts'
import { collections, type MetaRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'
import { isInForm } from '../../src/store/sqlite/connection.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { copyDatabase, redoOf, redoSizeOf } from './database-files.ts'

interface Row extends Document {
  [member: string]: unknown
}

const OLD: CollectionSpec[] = [{ name: 'things', indexes: [['kind']] }, { name: 'notes' }]
const NEW: CollectionSpec[] = [
  { name: 'things', unique: [['code']], indexes: [['rank', 'kind']], nonNegative: ['amount'] },
  { name: 'notes', appendedFrom: ['things'] },
  { name: 'more' }
]

function open(t: Test, path: string, specs: CollectionSpec[]) {
  const store = createSqliteStore({ path, specs, few: 0 })
  t.teardown(() => store.close())
  return { store, things: store.collection<Row>('things'), notes: store.collection<Row>('notes') }
}

/** What a gateway has left that died after these writes: its log has some of them. */
async function left(t: Test, specs: CollectionSpec[], rows: Row[]): Promise<string> {
  const path = join(t.testdir(), 'first.db')
  const { things } = open(t, path, specs)
  await things.insert({ id: 'first' })
  await Promise.all(rows.map((row) => things.insert(row)))
  const image = join(t.testdirName, 'left.db')
  copyDatabase(path, image)
  return image
}

t.test('a log is read by a version with other columns and indexes', async (t) => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ id: `t${i}`, kind: 'k', rank: -i, code: `c${i}`, amount: i }))
  const path = await left(t, OLD, rows)
  t.equal(isInForm({ path, specs: NEW }), false)
  const { store, things } = open(t, path, NEW)
  const found = await things.list({
    where: { equal: { kind: 'k' } },
    order: { by: 'rank', direction: 'asc' },
    limit: 9
  })
  t.same(found, rows.slice(11).toReversed(), 'by the new index')
  t.equal(await things.insert({ id: 'other', code: 'c5' }), false, 'a rule of the new one')
  t.same(await things.get('t0'), rows[0])
  await store.close()
  const back = open(t, path, OLD)
  t.same(await back.things.get('t7'), rows[7])
})

t.test('a log with a collection that this version does not know is left as it is', async (t) => {
  const path = join(t.testdir(), 'first.db')
  const { store } = open(t, path, NEW)
  await store.collection('more').insert({ id: 'a' })
  const image = join(t.testdirName, 'left.db')
  copyDatabase(path, image)
  const log = redoOf(image)
  const old = createSqliteStore({ path: image, specs: OLD })
  await t.rejects(old.collection('things').get('a'))
  await t.rejects(old.collection('things').insert({ id: 'a' }))
  await t.rejects(old.close())
  t.ok(log.length > 0 && log.equals(redoOf(image)))
  const again = open(t, image, NEW)
  t.same(await again.store.collection('more').get('a'), { id: 'a' })
})

t.test('rows come back whatever is in them', async (t) => {
  const texts = ['a\nb', '\u2028\u2029', 'x\u0000y', '\ud800', '='.repeat(70_000), '-things "t1"\n=things {}\n']
  const rows: Row[] = texts.map((text, i) => ({ id: `t${i}`, text, kind: text, [text]: [text] }))
  rows.push(JSON.parse('{ "id": "__proto__", "__proto__": { "kind": 1 }, "kind": true }'), { id: ' \n\u2028"' })
  const { things } = open(t, await left(t, OLD, rows), OLD)
  for (const row of rows) t.strictSame(JSON.stringify(await things.get(row.id)), JSON.stringify(row))
  for (const row of rows.slice(0, 6))
    t.equal(await things.count({ equal: { kind: String(row['kind']) } }), 1, 'by its index')
})

t.test('a recovery is repeated as often as it dies', async (t) => {
  const rows = Array.from({ length: 50 }, (_, i) => ({ id: `t${i}`, kind: 'k' }))
  let path = await left(t, OLD, rows)
  for (let times = 0; times < 4; times++) {
    const { things, notes } = open(t, path, OLD)
    t.equal(await things.count({}), 51 - times)
    await Promise.all([things.remove(`t${times}`), notes.insert({ id: `n${times}` })])
    t.equal(await notes.count({}), times + 1)
    const next = join(t.testdirName, `again-${times}.db`)
    copyDatabase(path, next)
    path = next
  }
})

t.test('while another has the file nothing is read that lacks what the log has', async (t) => {
  const path = await left(t, OLD, [{ id: 'late' }])
  const { store, things } = open(t, path, OLD)
  const beside = new DatabaseSync(path)
  t.teardown(() => beside.isOpen && beside.close())
  beside.exec('begin immediate')
  await t.rejects(things.get('late'), { code: 'store_unavailable' })
  await t.rejects(things.insert({ id: 'more' }), { code: 'store_unavailable' })
  beside.exec('rollback')
  t.same(await things.get('late'), { id: 'late' })
  t.notOk(await things.get('more'))
  await store.close()
  t.equal(redoSizeOf(path), 0)
})

t.test('whether a gateway may serve is asked of all that another has left', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  await (await openStore({ dataDir }, { mode: 'serve' })).close()
  const path = join(dataDir, 'gateway.db')
  const died = createSqliteStore({ path, specs: collections, few: 0 })
  t.teardown(() => died.close())
  const meta = died.collection<MetaRow>('meta')
  const image = (name: string) => {
    const folder = join(t.testdirName, name)
    mkdirSync(folder)
    copyDatabase(path, join(folder, 'gateway.db'))
    return { dataDir: folder }
  }
  await meta.insert({ id: 'move', value: { source: 'x', startedAt: 1 } })
  const unfinished = image('unfinished')
  await meta.remove('move')
  const finished = image('finished')
  await meta.update('schema', {}, { set: { 'value.users': 99 } })
  const newer = image('newer')
  for (const mode of ['serve', 'inspect'] as const) {
    await t.rejects(openStore(unfinished, { mode }), /move/)
    await t.resolves(openStore(finished, { mode }).then((store) => store.close()))
    await t.rejects(openStore(newer, { mode }), /newer gateway/)
  }
})
