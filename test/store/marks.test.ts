import { MongoClient } from 'mongodb'
import t, { type Test } from 'tap'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import type { CollectionSpec, Document } from '../../src/store/port.ts'
import { collections } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { type MongoServer, withMongo } from '../servers/mongodb.ts'
import { startWireProxy } from '../servers/wire-proxy.ts'

interface Row extends Document {
  n: number
}

const specs: CollectionSpec[] = [{ name: 'grants', isMarked: true }, { name: 'notes' }]
/** Longer than a change is taken to be under way. */
const OVER_MS = 60_000

/** Two processes; the wire of the second can be cut. */
async function start(t: Test, { url, freshDatabase }: MongoServer) {
  const clock = createFakeClock()
  const database = freshDatabase()
  const proxy = await startWireProxy(t, url)
  const [here, there] = await Promise.all(
    [url, proxy.url].map(async (address) => {
      const { store } = await connectMongo({ url: address, database }, { specs, clock })
      t.teardown(() => store.close())
      return store
    })
  )
  if (!here?.marks || !there) throw new Error('A store on MongoDB has marks')
  const { marks } = here
  const countOf = async (id: string, name = 'grants') => (await marks.look())(name, id)
  const client = await new MongoClient(url).connect()
  t.teardown(() => client.close())
  /** Resolves when no change is under way; the last write of one is not waited for. */
  async function over(): Promise<void> {
    const seen = await client.db(database).collection('row_changes').findOne({})
    if (Object.keys(seen?.open ?? {}).length > 0) await over()
  }
  return { clock, here, there, proxy, countOf, over, rows: there.collection<Row>('grants') }
}

withMongo(t, 'every change of a marked row is counted', async (t, mongo) => {
  const { rows, there, countOf, over } = await start(t, mongo)
  await rows.insert({ id: 'a', n: 1 })
  t.equal(await countOf('a'), 0, 'that a row appears is no change')
  const changes = [
    () => rows.update('a', {}, { inc: { n: 1 } }),
    () => rows.updated('a', {}, { inc: { n: 1 } }),
    () => rows.update('a', { equal: { n: 0 } }, { inc: { n: 1 } }),
    () => rows.remove('a')
  ]
  for (const [index, change] of changes.entries()) {
    await change()
    await over()
    t.equal(await countOf('a'), index + 1)
  }
  t.equal(await countOf('b'), 0, 'of another row none')
  await there.collection<Row>('notes').insert({ id: 'a', n: 1 })
  await there.collection<Row>('notes').update('a', {}, { inc: { n: 1 } })
  t.equal(await countOf('a', 'notes'), undefined, 'and of rows that are not marked nothing is said')
})

withMongo(t, 'nothing is said of a row while it may be changing', async (t, mongo) => {
  const { rows, proxy, countOf, over } = await start(t, mongo)
  await rows.insert({ id: 'a', n: 1 })
  const seen: (number | undefined)[] = []
  const gate = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  proxy.decide = ({ command, collection }) => {
    if (command !== 'update' || collection !== 'grants') return 'pass'
    arrived.resolve()
    return { delayRequest: gate.promise }
  }
  const changed = rows.update('a', {}, { inc: { n: 1 } })
  await arrived.promise
  seen.push(await countOf('a'))
  gate.resolve()
  await changed
  await over()
  t.same([...seen, await countOf('a')], [undefined, 1])
})

withMongo(t, 'a change whose end nobody knows stays open for a minute', async (t, mongo) => {
  const { clock, here, rows, proxy, countOf } = await start(t, mongo)
  await rows.insert({ id: 'a', n: 1 })
  proxy.decide = ({ collection }) => (collection === 'grants' ? 'lose-answer' : 'pass')
  await t.rejects(rows.update('a', {}, { inc: { n: 1 } }), { code: 'store_unavailable' })
  await here.maintain()
  clock.advance(OVER_MS - 1)
  await here.maintain()
  t.equal(await countOf('a'), undefined)
  clock.advance(1)
  await here.maintain()
  t.equal(await countOf('a'), 1)
})

withMongo(t, 'a row that cannot be marked is not changed', async (t, mongo) => {
  const { rows, proxy, countOf } = await start(t, mongo)
  await rows.insert({ id: 'a', n: 1 })
  proxy.decide = ({ collection }) => (collection === 'row_changes' ? 'lose-request' : 'pass')
  await t.rejects(rows.update('a', {}, { inc: { n: 1 } }), { code: 'store_unavailable' })
  proxy.decide = () => 'pass'
  t.match([await rows.get('a'), await countOf('a')], [{ n: 1 }, 0])
})

withMongo(t, 'many changes at once are all counted', async (t, mongo) => {
  const { here, rows, countOf, over } = await start(t, mongo)
  await rows.insert({ id: 'a', n: 0 })
  const both = [rows, here.collection<Row>('grants')]
  await Promise.all(both.flatMap((own) => Array.from({ length: 6 }, () => own.update('a', {}, { inc: { n: 1 } }))))
  await over()
  t.equal(await countOf('a'), 12)
})

t.test('what every request asks for is marked', async (t) => {
  const marked = collections.filter(({ isMarked }) => isMarked).map(({ name }) => name)
  t.same(marked.toSorted(), ['api_keys', 'chatflows', 'grants', 'token_families', 'users'])
  const appendedTo = collections.filter(({ appendedFrom }) => appendedFrom).map(({ name }) => name)
  t.notOk(
    marked.some((name) => appendedTo.includes(name)),
    'what appears with other rows is not marked'
  )
})
