import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import { createDocumentCache } from '../../src/store/sqlite/cache.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'

t.setTimeout(300_000)

/** All writes go into the database at once, where others see them. */
const ALL_ARE_FEW = Infinity

function open(t: Test) {
  const path = join(t.testdir(), 'cached.db')
  const store = createSqliteStore({ path, specs: contractSpecs, few: ALL_ARE_FEW })
  t.teardown(() => store.close())
  return { path, store, things: store.collection<Thing>('things'), notes: store.collection<Thing>('notes') }
}

type Command =
  | { kind: 'get' | 'list' | 'remove'; id: string }
  | { kind: 'insert'; id: string; note: boolean; amount: number }
  | { kind: 'update'; id: string; by: number; note: string }

const id = fc.constantFrom('a', 'b', 'c')
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constantFrom('get' as const, 'list' as const, 'remove' as const), id }),
  fc.record({ kind: fc.constant('insert' as const), id, note: fc.boolean(), amount: fc.integer({ min: -1, max: 3 }) }),
  // Below zero the write fails; a note that was there before undoes it.
  fc.record({
    kind: fc.constant('update' as const),
    id,
    by: fc.integer({ min: -2, max: 2 }),
    note: fc.constantFrom('none', 'new', 'taken')
  })
)

t.test('what is read is what is in the file, whatever was written, refused and undone', async (t) => {
  const { path, things, notes } = open(t)
  const beside = new DatabaseSync(path, { readOnly: true })
  t.teardown(() => beside.close())
  await notes.insert({ id: 'taken' })
  let made = 0

  function perform(asked: Command): Promise<unknown> {
    const append = (note: string) => (note === 'none' ? [] : [{ collection: 'notes', document: { id: note } }])
    if (asked.kind === 'insert')
      return things.insert({ id: asked.id, amount: asked.amount }, append(asked.note ? `n${made++}` : 'none'))
    if (asked.kind === 'update') {
      const note = asked.note === 'new' ? `n${made++}` : asked.note
      return things.update(asked.id, { exists: { amount: true } }, { inc: { amount: asked.by } }, append(note))
    }
    if (asked.kind === 'list') return things.list({ limit: 10 })
    return asked.kind === 'get' ? things.get(asked.id) : things.remove(asked.id)
  }

  /** All rows as another connection sees them. */
  function stored(): Map<string, unknown> {
    const rows = beside.prepare('select id, doc from things').all()
    return new Map(rows.map((row) => [String(row['id']), JSON.parse(String(row['doc']))]))
  }

  const isCoherent = fc.asyncProperty(
    fc.array(fc.array(command, { maxLength: 6 }), { maxLength: 5 }),
    async (turns) => {
      for (const turn of turns) {
        await Promise.allSettled(turn.map(perform))
        const rows = stored()
        for (const each of ['a', 'b', 'c']) if (!isDeepStrictEqual(await things.get(each), rows.get(each))) return false
        if ((await things.count({})) !== rows.size) return false
      }
      return true
    }
  )
  await t.resolves(fc.assert(isCoherent, { numRuns: 150 }))
  t.ok(made > 50)
})

t.test('what another connection has written is seen by readers and by guards', async (t) => {
  const { path, things } = open(t)
  await things.insert({ id: 'a', rank: 1 })
  t.equal((await things.get('a'))?.rank, 1)
  t.equal(await things.get('b'), undefined)
  const tool = new DatabaseSync(path)
  t.teardown(() => tool.close())
  tool.exec(`update things set doc = '{"id":"a","rank":2}'; insert into things (id, doc) values ('b', '{"id":"b"}')`)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal((await things.get('a'))?.rank, 2)
  t.strictSame(await things.get('b'), { id: 'b' })

  tool.exec(`update things set doc = '{"id":"a","rank":3}' where id = 'a'`)
  // In the same turn: inside the transaction nothing is taken for granted.
  t.equal(await things.update('a', { equal: { rank: 3 } }, { inc: { rank: 1 } }), true)
  t.equal((await things.get('a'))?.rank, 4)
})

t.test('a row is shared by its readers: whoever changes it fails', async (t) => {
  const { things } = open(t)
  await things.insert({ id: 'a', nested: { list: [1] } })
  const first = await things.get('a')
  t.equal(await things.get('a'), first)
  t.throws(() => Object.assign(first ?? {}, { rank: 1 }), TypeError)
  t.throws(() => Object.assign(first?.nested ?? {}, { rank: 1 }), TypeError)
  const second = await things.updated('a', {}, { set: { 'nested.x': [{}] } })
  t.throws(() => Object.assign(second?.nested ?? {}, { rank: 1 }), TypeError)
  t.strictSame(await things.get('a'), { id: 'a', nested: { list: [1], x: [{}] } })
  t.strictSame(first, { id: 'a', nested: { list: [1] } }, 'what was read stays what it was')
})

t.test('writes are repeated without the one that could not be taken back alone', async (t) => {
  const { things, notes } = open(t)
  const note = (name: string) => [{ collection: 'notes', document: { id: name } }]
  await things.insert({ id: 'a', amount: 0 }, note('n1'))
  const results = await Promise.allSettled([
    things.updated('a', {}, { inc: { amount: 1 } }, note('n2')),
    things.updated('a', {}, { inc: { amount: 10 } }, note('n1')),
    things.updated('a', { equal: { amount: 1 } }, { inc: { amount: 100 } }, note('n3')),
    things.insert({ id: 'b' }, note('n2')),
    things.insert({ id: 'b', rank: 1 })
  ])
  t.match(results[0], { value: { amount: 1 } })
  t.match(results[1], { status: 'rejected' })
  t.match(results[2], { value: { amount: 101 } }, 'as if the one before it had never been')
  t.match(results[3], { status: 'rejected' })
  t.match(results[4], { value: true })
  t.strictSame(
    [await things.get('a'), await things.get('b')],
    [
      { id: 'a', amount: 101 },
      { id: 'b', rank: 1 }
    ]
  )
  t.equal(await notes.count({}), 3)
})

t.test('what is kept in memory is bounded, and what is read often stays', async (t) => {
  const cache = createDocumentCache()
  const [often, seldom] = [cache.shelf(), cache.shelf()]
  often.keep('a', '{"id":"a"}')
  const text = JSON.stringify({ id: 'x', text: 'x'.repeat(10_000) })
  for (let i = 0; i < 5_000; i++) {
    seldom.keep(`x${i}`, text)
    if (i % 100 === 0) often.get('a')
  }
  t.strictSame(often.get('a'), { id: 'a' })
  t.equal(seldom.get('x0'), undefined)
  t.ok(seldom.get('x4999'))
  seldom.keep('huge', JSON.stringify('x'.repeat(1_000_000)))
  t.equal(seldom.get('huge'), undefined, 'one that would push out many others is not kept')
  for (let i = 0; i < 100_000; i++) seldom.keep(`gone${i}`, undefined)
  t.equal(seldom.get('x4999'), undefined, 'so are rows that are not there')
  t.equal(seldom.get('gone99999'), null)
})
