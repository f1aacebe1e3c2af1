import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { collections } from '../../src/store/collections.ts'
import type { MetaRow } from '../../src/store/collections.ts'
import type { ListQuery } from '../../src/store/port.ts'
import { openStore } from '../../src/store/open.ts'
import { createDocumentCache } from '../../src/store/sqlite/cache.ts'
import { createGroupCommit } from '../../src/store/sqlite/commit.ts'
import { createWatch } from '../../src/store/sqlite/connection.ts'
import { createRedo } from '../../src/store/sqlite/redo.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createTransactions } from '../../src/store/sqlite/transactions.ts'
import { layoutOf, listQueries } from '../../src/store/sqlite/sql.ts'
import { AppError } from '../../src/errors.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'

/** Group commit over a bare connection, without a log. */
function commitsTo(db: DatabaseSync) {
  const cache = createDocumentCache()
  const rows = { put() {}, remove() {} }
  const parts = { cache, watch: createWatch(db, cache), lines: createRedo(), redone: rows, few: 0 }
  return createGroupCommit(db, createTransactions(db, parts))
}

t.test('the queries of every day use an index and need no sorting', async (t) => {
  const path = join(t.testdir(), 'plan.db')
  await createSqliteStore({ path, specs: collections }).close()
  const db = new DatabaseSync(path)
  t.teardown(() => db.close())
  const desc = (by: string) => ({ by, direction: 'desc' as const })
  const after = { value: 5, id: 'x' }
  const posting = { equal: { accountId: 'a', isPosting: true } }
  const queries: [string, ListQuery, string][] = [
    ['ledger_entries', { where: posting, order: desc('at'), limit: 50 }, 'ledger_entries_on_accountId_at'],
    ['ledger_entries', { where: posting, order: desc('at'), after, limit: 50 }, 'ledger_entries_on_accountId_at'],
    ['ledger_entries', { after: { value: null, id: 'r:' }, limit: 50 }, 'sqlite_autoindex_ledger_entries_1'],
    [
      'sessions',
      { where: { equal: { userId: 'u', chatflowId: 'c' } }, order: desc('createdAt'), limit: 50 },
      'sessions_on_userId_createdAt'
    ],
    [
      'accounts',
      { where: { gte: { holdCount: 1 } }, order: { by: 'holdCount', direction: 'asc' }, limit: 9 },
      'accounts_on_holdCount'
    ],
    ['users', { where: { equal: { usernameKey: 'u' } }, limit: 1 }, 'users_sole_usernameKey'],
    ['users', { where: { equal: { email: 'e' } }, limit: 1 }, 'users_sole_email'],
    [
      'requests',
      { where: { lt: { expiresAt: 1 } }, order: { by: 'expiresAt', direction: 'asc' }, limit: 9 },
      'requests_on_expiresAt'
    ],
    [
      'requests',
      {
        where: { gte: { expiresAt: 1 }, lt: { expiresAt: 9 } },
        order: { by: 'expiresAt', direction: 'asc' },
        after,
        limit: 9
      },
      'requests_on_expiresAt'
    ],
    [
      'messages',
      { where: { equal: { sessionId: 's' } }, order: { by: 'position', direction: 'asc' }, after, limit: 9 },
      'messages_on_sessionId_position'
    ]
  ]
  for (const [table, query, index] of queries) {
    const spec = collections.find(({ name }) => name === table) ?? { name: table }
    const [first] = listQueries(layoutOf(spec, true), query)
    const plan = db.prepare(`explain query plan ${first?.sql}`).all(...(first?.values ?? []), 1)
    const text = plan.map((row) => row['detail']).join('; ')
    t.match(text, index)
    t.notMatch(text, /TEMP B-TREE|SCAN/, JSON.stringify(query))
    // Behind a row of the order, it begins there and not at the bound of the range.
    if (query.after && query.order) t.match(text, /\([a-z$.]+,id\)[<>]\(\?,\?\)/i, text)
  }
})

t.test('the data directory is made for its owner alone', async (t) => {
  const dataDir = join(t.testdir(), 'deep', 'data')
  const store = await openStore({ dataDir }, { mode: 'serve' })
  t.teardown(() => store.close())
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
})

t.test('one process serves a data directory; others may look', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  await t.rejects(openStore({ dataDir }, { mode: 'inspect' }), { message: /no gateway data/ })
  const store = await openStore({ dataDir }, { mode: 'serve' })
  await t.rejects(openStore({ dataDir }, { mode: 'serve' }), { message: /Another gateway process uses/ })

  const meta = store.collection<MetaRow>('meta')
  await meta.insert({ id: 'seen', value: 1 })
  const beside = await openStore({ dataDir }, { mode: 'inspect' })
  t.equal((await beside.collection<MetaRow>('meta').get('seen'))?.value, 1)
  await meta.update('seen', {}, { set: { value: 2 } })
  t.equal((await beside.collection<MetaRow>('meta').get('seen'))?.value, 2)
  await t.rejects(beside.collection<MetaRow>('meta').insert({ id: 'x', value: 1 }), { code: 'store_unavailable' })
  await beside.close()
  await store.close()

  const again = await openStore({ dataDir }, { mode: 'serve' })
  t.equal((await again.collection<MetaRow>('meta').get('seen'))?.value, 2)
  await again.close()
})

t.test('data of a newer gateway is refused and left alone', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  const store = await openStore({ dataDir }, { mode: 'serve' })
  await store.collection<MetaRow>('meta').update('schema', {}, { set: { 'value.users': 99 } })
  await store.close()
  for (const mode of ['serve', 'inspect'] as const) {
    await t.rejects(openStore({ dataDir }, { mode }), { message: /newer gateway \(users has form 99/ })
  }
})

t.test('a first start that died before its tables were made is made good', async (t) => {
  const dataDir = t.testdir({ 'gateway.db': '' })
  const store = await openStore({ dataDir }, { mode: 'serve' })
  t.strictSame((await store.collection<MetaRow>('meta').get('schema'))?.value, {})
  await store.close()
})

t.test('a full database refuses the whole batch, and the next write works when there is room', async (t) => {
  const db = new DatabaseSync(join(t.testdir(), 'full.db'))
  t.teardown(() => db.close())
  db.exec('create table things (id text primary key); pragma max_page_count=20')
  const commits = commitsTo(db)
  const insert = (id: string) => () => db.prepare('insert into things values (?)').run(id).changes === 1
  const batch = await Promise.allSettled([
    commits.add(insert('before'), false),
    commits.add(insert('x'.repeat(200_000)), true),
    commits.add(insert('behind'), false)
  ])
  for (const result of batch) t.match(result, { status: 'rejected', reason: { code: 'store_unavailable' } })
  t.equal(await commits.add(insert('small'), false), true)
  t.same(db.prepare('select id from things').all(), [{ id: 'small' }])
})

t.test('nothing is made durable behind a write that was not', async (t) => {
  const db = new DatabaseSync(join(t.testdir(), 'order.db'))
  t.teardown(() => db.close())
  db.exec('create table things (id text primary key); pragma max_page_count=20')
  const commits = commitsTo(db)
  const insert = (id: string) => () => db.prepare('insert into things values (?)').run(id).changes === 1
  const long = Array.from({ length: 600 }, (_, i) =>
    commits.add(insert(i === 3 ? 'x'.repeat(200_000) : `t${i}`), false)
  )
  const results = await Promise.allSettled(long)
  t.equal(
    results.filter(({ status }) => status === 'rejected').length,
    600,
    'also what the next transaction would hold'
  )
  t.equal(await commits.add(insert('later'), false), true)
  t.same(db.prepare('select id from things').all(), [{ id: 'later' }])
})

t.test('one write that fails by its own fault leaves its neighbours alone', async (t) => {
  const db = new DatabaseSync(':memory:')
  t.teardown(() => db.close())
  db.exec('create table things (id text primary key)')
  const commits = commitsTo(db)
  const insert = (id: string) => () => db.prepare('insert into things values (?)').run(id).changes === 1
  const broken = () => {
    insert('half')()
    throw new TypeError('broken')
  }
  const batch = await Promise.allSettled([
    commits.add(insert('a'), false),
    commits.add(broken, true),
    commits.add(insert('b'), false)
  ])
  t.match(batch, [{ value: true }, { reason: { name: 'TypeError' } }, { value: true }])
  t.same(db.prepare('select id from things').all(), [{ id: 'a' }, { id: 'b' }])
})

t.test('more writes than one transaction takes are all made', async (t) => {
  const store = createSqliteStore({ path: join(t.testdir(), 'many.db'), specs: [{ name: 'things' }] })
  t.teardown(() => store.close())
  const things = store.collection('things')
  const made = await Promise.all(Array.from({ length: 1500 }, (_, i) => things.insert({ id: `t${i}` })))
  t.equal(made.filter(Boolean).length, 1500)
  t.equal(await things.count({}), 1500)
})

t.test('an append that was there before undoes its write and no other', async (t) => {
  const store = createSqliteStore({ path: join(t.testdir(), 'appends.db'), specs: contractSpecs })
  t.teardown(() => store.close())
  const things = store.collection<Thing>('things')
  const notes = store.collection<Thing>('notes')
  const note = (id: string) => [{ collection: 'notes', document: { id } }]
  await things.insert({ id: 'a', rank: 0 }, note('n1'))
  const [first, second, third] = await Promise.allSettled([
    things.update('a', {}, { inc: { left_: 1 } }, note('n2')),
    things.update('a', {}, { inc: { rank: 1 } }, [...note('n3'), ...note('n1')]),
    things.update('a', {}, { inc: { right_: 1 } }, note('n4'))
  ])
  t.same([first.status, second.status, third.status], ['fulfilled', 'rejected', 'fulfilled'])
  t.notOk(second.status === 'rejected' && second.reason instanceof AppError, 'a fault of the caller, not of the store')
  t.strictSame(await things.get('a'), { id: 'a', rank: 0, left_: 1, right_: 1 })
  t.equal(await notes.count({}), 3)
})
