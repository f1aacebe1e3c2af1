import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { redoOf } from './database-files.ts'
import { breakLog, occupyThreads, open, OVERDUE_MS, turn } from './deferred.ts'

t.test('a commit that fails takes nothing back that was acknowledged', async (t) => {
  const { path, insert, ids, close } = open(t)
  await Promise.all([insert('a'), insert('c', 'd')])
  await pause(OVERDUE_MS)
  t.same(ids(), ['a', 'c'], 'the log has it')
  t.equal(await insert('b'), 'b', 'and takes more')
  await pause(OVERDUE_MS)
  t.same(ids(), ['a', 'b', 'c'])
  const beside = new DatabaseSync(path, { readOnly: true })
  t.teardown(() => beside.close())
  t.equal(beside.prepare('select count(*) as n from things').get()?.['n'], 0, 'the database has none of it yet')
  await insert('d')
  await pause(OVERDUE_MS)
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
  t.ok(redoOf(path).includes('"d"'), 'the log has it')
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
  await pause(OVERDUE_MS)
  const threads = occupyThreads()
  const [b, c] = [insert('b'), insert('c')]
  await turn()
  const d = insert('d')
  await turn()
  breakLog(path)
  t.same(await Promise.all([b, c, d]), ['b', 'c', 'd'])
  t.same(ids(), ['a', 'b', 'c', 'd'])
  await threads
  await close()
})

t.test('and where that fails too, all that was not yet acknowledged is refused', async (t) => {
  const { path, insert, ids, close } = open(t)
  await insert('a')
  await pause(OVERDUE_MS)
  const threads = occupyThreads()
  const early = insert('b')
  await turn()
  const late = insert('c', 'nobody')
  await turn()
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
  await pause(OVERDUE_MS)
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
