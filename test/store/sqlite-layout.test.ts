import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Collection, ListQuery, Scalar } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { compareTexts } from '../../src/store/sqlite/texts.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'

t.setTimeout(300_000)

/** The tables as gateways made them that had indexes on expressions, and no columns. */
const OLDER = `
  create table if not exists things (id text not null primary key, doc text not null, check (coalesce(json_extract(doc,'$."amount"'), 0) >= 0));
  create unique index if not exists "things_unique_name" on things (json_extract(doc,'$."name"'));
  create index if not exists "things_by_kind_rank" on things (json_extract(doc,'$."kind"'), json_extract(doc,'$."rank"'), id);
  create index if not exists "things_by_rank" on things (json_extract(doc,'$."rank"'), id);
  create table if not exists notes (id text not null primary key, doc text not null);
  create index if not exists "notes_by_thingId" on notes (json_extract(doc,'$."thingId"'), id)`

const ROWS: Thing[] = [
  { id: 'a', name: 'x\ud800', kind: 'k', rank: 2 },
  { id: 'b', name: 'nul\0', kind: 'k', rank: true },
  { id: 'c', kind: 'k', rank: 'text' },
  { id: 'd', kind: 'k', rank: 1 },
  { id: 'e', kind: 'k', rank: null },
  { id: 'f', kind: 'k', rank: 1.5 },
  { id: 'g', kind: 'k' }
]

function write(path: string, sql: string, rows: Thing[] = []): void {
  const db = new DatabaseSync(path)
  db.exec(sql)
  const insert = db.prepare('insert into things (id, doc) values (?, ?)')
  for (const row of rows) insert.run(row.id, JSON.stringify(row))
  db.close()
}

async function withThings<T>(path: string, use: (things: Collection<Thing>) => Promise<T>): Promise<T> {
  const store = createSqliteStore({ path, specs: contractSpecs })
  try {
    return await use(store.collection<Thing>('things'))
  } finally {
    await store.close()
  }
}

async function check(t: Test, path: string, message: string): Promise<void> {
  await withThings(path, async (things) => {
    const list = async (query: Omit<ListQuery, 'limit'>) =>
      (await things.list({ ...query, limit: 100 })).map(({ id }) => id)
    const order = { by: 'rank', direction: 'asc' as const }
    const where = { equal: { kind: 'k' } }
    t.same(await list({ where, order }), ['e', 'g', 'd', 'f', 'a', 'c', 'b'], message)
    t.same(await list({ where: { ...where, gte: { rank: 1.5 } }, order }), ['f', 'a'])
    t.same(await list({ where: { equal: { rank: true } } }), ['b'])
    t.same(await list({ where: { equal: { name: 'x\ud800' } } }), ['a'])
    t.same(await list({ where: { equal: { rank: null } } }), ['e'])
    t.equal(await things.count({ lt: { rank: 2 } }), 2)
    t.equal(await things.insert({ id: 'h', name: 'x\ud800' }), false)
    t.equal(await things.insert({ id: 'h', name: 'x\ud801' }), true)
    t.equal(await things.remove('h'), true)
    await t.rejects(things.update('a', {}, { set: { amount: -1 } }))
  })
}

const indexes = (path: string) => {
  const db = new DatabaseSync(path)
  const rows = db.prepare("select name from sqlite_master where type = 'index' and sql is not null order by name").all()
  db.close()
  return rows.map((row) => row['name'])
}

t.test('files of older gateways are brought forward, and may go back to them', async (t) => {
  const path = join(t.testdir(), 'older.db')
  write(path, OLDER, ROWS)
  await check(t, path, 'forward')
  const ours = indexes(path)
  t.notOk(ours.includes('things_by_rank'))

  // The older one makes its indexes anew, and knows nothing of columns; a key moves from one row to another.
  write(
    path,
    `${OLDER}; update things set doc = json_remove(doc, '$.name') where id = 'a'; delete from things where id = 'd'`
  )
  write(path, `update things set doc = json_set(doc, '$.rank', 9) where id = 'c'`, [
    { id: 'd', name: 'x\ud800', kind: 'k', rank: 1 }
  ])
  await withThings(path, async (things) => {
    t.same(
      (await things.list({ where: { gte: { rank: 2 } }, limit: 9 })).map(({ id }) => id),
      ['a', 'c']
    )
    t.same(
      (await things.list({ where: { equal: { name: 'x\ud800' } }, limit: 9 })).map(({ id }) => id),
      ['d']
    )
  })
  t.same(indexes(path), ours)
})

t.test('wherever the step forward was interrupted, the next start completes it', async (t) => {
  const path = join(t.testdir(), 'torn.db')
  write(path, OLDER, ROWS)
  await check(t, path, 'whole')
  const halfFilled = `update things set "$.rank" = null, "$.kind" = 'z', "$.name" = null where id > 'b'`
  for (const drop of ['things_on_rank', 'things_on_kind_rank', 'things_sole_name']) {
    write(path, `drop index "${drop}"; ${drop === 'things_sole_name' ? halfFilled : ''}`)
    await check(t, path, drop)
  }
  write(path, 'create index "of_somebody" on things (doc)')
  await check(t, path, 'an index of somebody else')
})

t.test('a table without indexes is brought forward too', async (t) => {
  const path = join(t.testdir(), 'plain.db')
  write(path, `create table things (id text not null primary key, doc text not null)`, [{ id: 'a', amount: 1 }])
  const store = createSqliteStore({ path, specs: [{ name: 'things', nonNegative: ['amount'] }] })
  t.teardown(() => store.close())
  const things = store.collection<Thing>('things')
  t.equal(await things.update('a', {}, { inc: { amount: 1 } }), true)
  t.equal(await things.count({ equal: { amount: 2 } }), 1)
})

t.test('a table of many rows is brought forward whole', async (t) => {
  const path = join(t.testdir(), 'many.db')
  const size = 12_345
  const many = Array.from({ length: size }, (_, i): Thing => ({ id: `t${i}`, kind: i % 2 ? 'odd' : 'even', rank: i }))
  const db = new DatabaseSync(path)
  db.exec(`${OLDER}; begin`)
  const insert = db.prepare('insert into things (id, doc) values (?, ?)')
  for (const row of many) insert.run(row.id, JSON.stringify(row))
  db.exec('commit; delete from things where rowid between 100 and 200')
  db.close()
  await withThings(path, async (things) => {
    t.equal(await things.count({ equal: { kind: 'odd' } }), (size - 1) / 2 - 51)
    t.equal(await things.count({ gte: { rank: 0 } }), size - 101)
  })
})

t.test('a look at a file that is not in order finds all the same', async (t) => {
  const path = join(t.testdir(), 'looked-at.db')
  write(path, OLDER, ROWS)
  const store = createSqliteStore({ path, specs: contractSpecs, readOnly: true })
  t.teardown(() => store.close())
  const things = store.collection<Thing>('things')
  const order = { by: 'rank', direction: 'desc' as const }
  const found = await things.list({ where: { equal: { kind: 'k' }, gte: { rank: 1 } }, order, limit: 9 })
  t.same(
    found.map(({ id }) => id),
    ['a', 'f', 'd']
  )
  t.equal(await things.count({ equal: { name: 'x\ud800' } }), 1)
})

const rank: fc.Arbitrary<Scalar> = fc.constantFrom<Scalar[]>(
  null,
  0,
  1,
  1.5,
  -2,
  '',
  'a',
  '\ue000',
  '\u{10000}',
  true,
  false
)
const bound = fc.constantFrom<(string | number)[]>(-2, 0, 1, 2, '', 'a', '\uffff')

function placeOf(value: Scalar | undefined): number {
  return ['undefined', 'object', 'number', 'string', 'boolean'].indexOf(typeof value) || 1
}

/** The order of members, as lists have it. */
function compare(one: Scalar | undefined, other: Scalar | undefined): number {
  if (placeOf(one) !== placeOf(other)) return placeOf(one) - placeOf(other)
  return typeof one === 'string' && typeof other === 'string'
    ? compareTexts(one, other)
    : Number(one ?? 0) - Number(other ?? 0)
}

t.test('pages of any range, in both directions, are what a search through all rows finds', async (t) => {
  const path = join(t.testdir(), 'ranges.db')
  const isAlike = fc.asyncProperty(
    fc.array(fc.option(rank, { nil: undefined }), { maxLength: 12 }),
    fc.record({ gte: bound, lt: bound }, { requiredKeys: [] }),
    fc.constantFrom('asc' as const, 'desc' as const),
    fc.integer({ min: 1, max: 4 }),
    (ranks, { gte, lt }, direction, limit) =>
      withThings(path, async (things) => {
        await Promise.all((await things.list({ limit: 1000 })).map(({ id }) => things.remove(id)))
        const rows = ranks.map(
          (value, i): Thing => ({ id: `r${i % 10}${i}`, ...(value !== undefined && { rank: value }) })
        )
        await Promise.all(rows.map((row) => things.insert(row)))
        const isIn = ({ rank: value }: Thing) =>
          (gte === undefined || (typeof value === typeof gte && compare(value, gte) >= 0)) &&
          (lt === undefined || (typeof value === typeof lt && compare(value, lt) < 0))
        const sign = direction === 'asc' ? 1 : -1
        const expected = rows
          .filter(isIn)
          .toSorted((one, other) => sign * (compare(one.rank, other.rank) || compareTexts(one.id, other.id)))
        const where = {
          ...(gte !== undefined && { gte: { rank: gte } }),
          ...(lt !== undefined && { lt: { rank: lt } })
        }
        const query = { where, order: { by: 'rank', direction }, limit }
        const paged: string[] = []
        for (let page = await things.list(query); page.length > 0; ) {
          paged.push(...page.map(({ id }) => id))
          const last = page.at(-1)
          page = await things.list({ ...query, after: { value: last?.rank ?? null, id: last?.id ?? '' } })
        }
        return paged.join() === expected.map(({ id }) => id).join() && (await things.count(where)) === expected.length
      })
  )
  await t.resolves(fc.assert(isAlike, { numRuns: 150 }))
})
