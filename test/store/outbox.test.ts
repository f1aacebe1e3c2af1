import { type Collection as RawCollection, MongoClient } from 'mongodb'
import t, { type Test } from 'tap'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import type { StoredDocument } from '../../src/store/mongo/document.ts'
import type { Append, Store } from '../../src/store/port.ts'
import { createFakeClock, type FakeClock } from '../clock.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { type MongoServer, withMongo } from '../servers/mongodb.ts'
import type { Fate } from '../servers/wire-connection.ts'
import type { WireRequest } from '../servers/wire-message.ts'
import { startWireProxy, type WireProxy } from '../servers/wire-proxy.ts'

const HOUR_MS = 3_600_000
/** The most that waits in one document. */
const MAX_WAITING = 256

interface Gateway {
  store: Store
  proxy: WireProxy
}

interface Setting {
  clock: FakeClock
  /** A process of its own, behind a wire of its own. */
  start(): Promise<Gateway>
  things: RawCollection<StoredDocument>
  notes: RawCollection<StoredDocument>
  /** Keys that wait in a thing. */
  waiting(id: string): Promise<string[]>
  /** A process writes a thing with these notes and dies before they are published. */
  leave(id: string, append: Append[]): Promise<void>
}

async function settingOf(t: Test, { url, freshDatabase }: MongoServer): Promise<Setting> {
  const clock = createFakeClock()
  const database = freshDatabase()
  const first = await connectMongo({ url, database }, { specs: contractSpecs, clock })
  await first.makeIndexes()
  await first.store.close()
  const client = await new MongoClient(url).connect()
  t.teardown(() => client.close())
  const things = client.db(database).collection<StoredDocument>('things')

  async function start(): Promise<Gateway> {
    const proxy = await startWireProxy(t, url)
    const { store } = await connectMongo({ url: proxy.url, database }, { specs: contractSpecs, clock })
    t.teardown(() => store.close())
    return { store, proxy }
  }

  return {
    clock,
    start,
    things,
    notes: client.db(database).collection<StoredDocument>('notes'),
    waiting: async (id) => (await things.findOne({ _id: id }))?.['%pending'] ?? [],
    async leave(id, append) {
      const { store, proxy } = await start()
      proxy.decide = (request) => (isPublishing(request) ? 'lose-request' : 'pass')
      await store.collection<Thing>('things').insert({ id }, append)
      await store.close()
    }
  }
}

const note = (id: string): Append => ({ collection: 'notes', document: { id } })

const isPublishing = ({ command, collection }: WireRequest) => command === 'insert' && collection === 'notes'
const isTakingOut = ({ command, collection }: WireRequest) => command === 'update' && collection === 'things'

/** This fate for the next request of the kind, which `met` waits for; everything else passes. */
function once(proxy: WireProxy, isMeant: (request: WireRequest) => boolean, fate: Fate): { met: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let isOver = false
  proxy.decide = (request) => {
    if (isOver || !isMeant(request)) return 'pass'
    isOver = true
    resolve()
    return fate
  }
  return { met: promise }
}

const idsOf = async (store: Store) => (await store.collection('notes').list({ limit: 1000 })).map(({ id }) => id)

for (const fate of ['lose-request', 'lose-answer'] as const) {
  void withMongo(
    t,
    `${fate} while publishing: the note stays in its source until it is published`,
    async (t, mongo) => {
      const { start, notes, waiting } = await settingOf(t, mongo)
      const { store, proxy } = await start()
      once(proxy, isPublishing, fate)
      t.equal(await store.collection<Thing>('things').insert({ id: 'a' }, [note('n1')]), true)
      // Waits for the background, which does not take out what it knows nothing about.
      await store.close()
      t.strictSame(await waiting('a'), ['notes:n1'])
      t.equal(await notes.countDocuments({}), fate === 'lose-request' ? 0 : 1)
      const next = await start()
      t.strictSame(await next.store.collection('notes').get('n1'), { id: 'n1' })
      t.strictSame(await waiting('a'), [])
    }
  )
}

void withMongo(t, 'a relay that lost its wire says so, and the next one publishes', async (t, mongo) => {
  const { start, leave, waiting } = await settingOf(t, mongo)
  await leave('a', [note('n1'), note('n2')])
  const { store, proxy } = await start()
  once(proxy, isPublishing, 'lose-request')
  await t.rejects(store.maintain(), { code: 'store_unavailable' })
  t.same(await waiting('a'), ['notes:n1', 'notes:n2'])
  await store.maintain()
  t.same(await waiting('a'), [])
  t.same(await idsOf(store), ['n1', 'n2'])
})

void withMongo(t, 'whoever reads first publishes what a dead process left', async (t, mongo) => {
  const { start, leave, waiting } = await settingOf(t, mongo)
  const { store } = await start()
  const notes = store.collection<Thing>('notes')
  const reads: [id: string, read: () => Promise<unknown>, answer: unknown][] = [
    ['n1', () => notes.get('n1'), { id: 'n1' }],
    ['n2', () => notes.list({ where: { gte: { id: 'n2' } }, limit: 10 }), [{ id: 'n2' }]],
    ['n3', () => notes.count({}), 3],
    ['n4', () => notes.update('n4', {}, { set: { name: 'x' } }), true],
    ['n5', () => notes.remove('n5'), true]
  ]
  for (const [id, read, answer] of reads) {
    await leave(`source of ${id}`, [note(id)])
    t.strictSame(await read(), answer, id)
    t.same(await waiting(`source of ${id}`), [], id)
  }
})

void withMongo(t, 'two relays at once publish each note once', async (t, mongo) => {
  const { start, leave, notes, waiting } = await settingOf(t, mongo)
  const sources = ['a', 'b', 'c']
  for (const id of sources) await leave(id, [note(`${id}1`), note(`${id}2`)])
  const gate = Promise.withResolvers<void>()
  const relays = [await start(), await start()]
  // Both have read what waits before either publishes.
  const atGate = relays.map(({ proxy }) => once(proxy, isPublishing, { delayRequest: gate.promise }).met)
  const relayed = relays.map(({ store }) => store.maintain())
  await Promise.all(atGate)
  gate.resolve()
  await Promise.all(relayed)
  t.equal(await notes.countDocuments({}), 6)
  for (const id of sources) t.same(await waiting(id), [])
  for (const { store } of relays) t.same(await idsOf(store), ['a1', 'a2', 'b1', 'b2', 'c1', 'c2'])
})

void withMongo(t, 'died between publishing and taking out: what became of the note since is kept', async (t, mongo) => {
  const { start, waiting } = await settingOf(t, mongo)
  const dying = await start()
  once(dying.proxy, isTakingOut, 'lose-request')
  await dying.store.collection<Thing>('things').insert({ id: 'a' }, [note('n1'), note('n2')])
  await dying.store.close()
  t.same(await waiting('a'), ['notes:n1', 'notes:n2'])
  const { store } = await start()
  const notes = store.collection<Thing>('notes')
  t.equal(await notes.update('n1', {}, { set: { name: 'changed' } }), true)
  t.equal(await notes.remove('n2'), true)
  await store.maintain()
  t.same(await waiting('a'), [])
  t.same(await notes.list({ limit: 10 }), [{ id: 'n1', name: 'changed' }])
})

void withMongo(t, 'a relay that comes too late does not bring back what was removed', async (t, mongo) => {
  const { start, leave, waiting } = await settingOf(t, mongo)
  await leave('a', [note('n1')])
  const late = await start()
  const gate = Promise.withResolvers<void>()
  const { met } = once(late.proxy, isPublishing, { delayRequest: gate.promise })
  const relayed = late.store.maintain()
  await met
  const { store } = await start()
  const notes = store.collection<Thing>('notes')
  t.equal(await notes.remove('n1'), true)
  gate.resolve()
  await relayed
  for (const reader of [notes, late.store.collection<Thing>('notes')]) {
    t.equal(await reader.get('n1'), undefined)
    t.same(await reader.list({ limit: 10 }), [])
    t.equal(await reader.count({}), 0)
    t.equal(await reader.update('n1', {}, { set: { name: 'x' } }), false)
    t.equal(await reader.remove('n1'), false)
  }
  t.same(await waiting('a'), [])
})

void withMongo(
  t,
  'a write that lands after its process died does not bring back what was removed',
  async (t, mongo) => {
    const { start, notes: stored } = await settingOf(t, mongo)
    const dying = await start()
    const gate = Promise.withResolvers<void>()
    once(dying.proxy, isPublishing, { landLate: gate.promise })
    await dying.store.collection<Thing>('things').insert({ id: 'a' }, [note('n1')])
    await dying.store.close()
    const { store } = await start()
    const notes = store.collection<Thing>('notes')
    t.strictSame(await notes.get('n1'), { id: 'n1' })
    t.equal(await notes.remove('n1'), true)
    gate.resolve()
    await dying.proxy.landed()
    t.equal(await notes.get('n1'), undefined)
    t.same(await idsOf(store), [])
    t.same(Object.keys((await stored.findOne({ _id: 'n1' })) ?? {}), ['_id', '%removedAt'])
  }
)

void withMongo(t, 'a full outbox is emptied before more is added', async (t, mongo) => {
  const { start, leave, things, waiting } = await settingOf(t, mongo)
  const left = Array.from({ length: MAX_WAITING }, (_, i) => note(`n${i}`))
  await leave('a', left)
  t.equal((await waiting('a')).length, MAX_WAITING)
  const { store, proxy } = await start()
  const update = () => store.collection<Thing>('things').update('a', {}, { inc: { n: 1 } }, [note('more')])

  proxy.decide = (request) => (isPublishing(request) ? 'lose-request' : 'pass')
  await t.rejects(update(), { code: 'store_unavailable' }, 'as long as nothing can be published')
  t.equal((await things.findOne({ _id: 'a' }))?.['n'], undefined, 'and nothing was written')

  proxy.decide = () => 'pass'
  t.equal(await update(), true)
  t.equal(await store.collection('notes').count({}), MAX_WAITING + 1)
  t.same(await waiting('a'), [])
})

void withMongo(t, 'what waits in hundreds of documents is published in rounds', async (t, mongo) => {
  const { start, things } = await settingOf(t, mongo)
  const dying = await start()
  dying.proxy.decide = (request) => (isPublishing(request) ? 'lose-request' : 'pass')
  const ids = Array.from({ length: 250 }, (_, i) => `a${i}`)
  const dyingThings = dying.store.collection<Thing>('things')
  /** A connection on which a publication is lost takes others with it. */
  async function insert(id: string): Promise<void> {
    await dyingThings.insert({ id }, [note(`n-${id}`)]).catch(() => insert(id))
  }
  await Promise.all(ids.map(insert))
  await dying.store.close()
  const { store } = await start()
  t.equal((await idsOf(store)).length, ids.length)
  t.equal(await things.countDocuments({ '%pending.0': { $exists: true } }), 0)
})

void withMongo(t, 'of what was removed only the id is left, and that for an hour', async (t, mongo) => {
  const { start, clock, notes: stored } = await settingOf(t, mongo)
  const { store } = await start()
  const notes = store.collection<Thing>('notes')
  await store.collection<Thing>('things').insert({ id: 'a' }, [note('n1'), note('n2')])
  t.equal(await notes.remove('n1'), true)
  const removedAt = clock.now()
  t.strictSame(await stored.findOne({ _id: 'n1' }), { _id: 'n1', '%removedAt': removedAt })
  clock.advance(HOUR_MS)
  await store.maintain()
  t.equal(await stored.countDocuments({ '%removedAt': removedAt }), 1)
  clock.advance(1)
  await store.maintain()
  t.equal(await stored.countDocuments({ '%removedAt': removedAt }), 0)
  t.same(await idsOf(store), ['n2'])
})
