import { Redis } from 'ioredis'
import { type Collection, MongoClient } from 'mongodb'
import t, { type Test } from 'tap'
import { type MongoServer, withMongo } from './mongodb.ts'
import { withRedis } from './redis.ts'
import type { Fate } from './wire-connection.ts'
import { mongodbProtocol, type WireRequest } from './wire-message.ts'
import { startWireProxy, type WireProxy } from './wire-proxy.ts'

interface Thing {
  _id: string
  n: number
}

interface Setting {
  proxy: WireProxy
  /** Through the proxy. */
  things: Collection<Thing>
  /** What the server has, past the proxy. */
  stored(id: string): Promise<number | undefined>
  /** The value after a `$inc`. */
  raise(id: string): Promise<unknown>
}

async function openMongo(t: Test, url: string, options = {}): Promise<MongoClient> {
  const client = new MongoClient(url, { retryWrites: false, retryReads: false, ...options })
  t.teardown(() => client.close())
  return client.connect()
}

async function settingOf(t: Test, mongo: MongoServer, options = {}): Promise<Setting> {
  const proxy = await startWireProxy(t, mongo.url)
  const direct = (await openMongo(t, mongo.url)).db(mongo.database).collection<Thing>('things')
  await direct.insertOne({ _id: 'a', n: 0 })
  const things = (await openMongo(t, proxy.url, options)).db(mongo.database).collection<Thing>('things')
  return {
    proxy,
    things,
    stored: async (id) => (await direct.findOne({ _id: id }))?.n,
    raise: (id) => things.updateOne({ _id: id }, { $inc: { n: 1 } })
  }
}

/** This fate for the first update, whatever comes first. */
function firstUpdate(fate: Fate): (request: WireRequest) => Fate {
  let isOver = false
  return ({ command }) => {
    if (isOver || command !== 'update') return 'pass'
    isOver = true
    return fate
  }
}

withMongo(t, 'what passes is told by command, collection and documents', async (t, mongo) => {
  const { proxy, things, stored, raise } = await settingOf(t, mongo)
  const seen: WireRequest[] = []
  proxy.decide = (request) => {
    seen.push(request)
    return 'pass'
  }
  await raise('a')
  await things.insertMany([
    { _id: 'b', n: 1 },
    { _id: 'c', n: 2 }
  ])
  await things.find().batchSize(1).toArray()
  await things.db.command({ ping: 1 })
  t.equal(await stored('a'), 1)
  t.match(seen, [
    { command: 'update', collection: 'things', body: { updates: [{ q: { _id: 'a' }, u: { $inc: { n: 1 } } }] } },
    { command: 'insert', collection: 'things', body: { documents: [{ _id: 'b' }, { _id: 'c' }] } },
    { command: 'find', collection: 'things' },
    { command: 'getMore', collection: 'things' }
  ])
  t.notOk(seen.some(({ command }) => command === 'hello' || command === 'ping'))
})

withMongo(t, 'a lost request is a network error, and nothing is written', async (t, mongo) => {
  const { proxy, stored, raise } = await settingOf(t, mongo)
  proxy.decide = firstUpdate('lose-request')
  await t.rejects(raise('a'), { name: /^MongoNetwork/ })
  t.equal(await stored('a'), 0)
  t.match(await raise('a'), { matchedCount: 1 }, 'the next connection works')
})

withMongo(t, 'a lost answer is a network error, and it is written', async (t, mongo) => {
  const { proxy, stored, raise } = await settingOf(t, mongo)
  proxy.decide = firstUpdate('lose-answer')
  await t.rejects(raise('a'), { name: /^MongoNetwork/ })
  t.equal(await stored('a'), 1)
})

withMongo(t, 'a delayed answer comes when it is told to, long after the write', async (t, mongo) => {
  const { proxy, stored, raise } = await settingOf(t, mongo)
  const gate = Promise.withResolvers<void>()
  const sent = Promise.withResolvers<void>()
  proxy.decide = ({ command }) => {
    if (command !== 'update') return 'pass'
    sent.resolve()
    return { delayAnswer: gate.promise }
  }
  let isAnswered = false
  const raised = raise('a').finally(() => {
    isAnswered = true
  })
  await sent.promise
  await proxy.landed()
  t.equal(await stored('a'), 1)
  t.notOk(isAnswered)
  gate.resolve()
  t.match(await raised, { matchedCount: 1 })
})

withMongo(t, 'a write lands late: after its connection was cut and another write', async (t, mongo) => {
  const { proxy, stored, raise } = await settingOf(t, mongo)
  const gate = Promise.withResolvers<void>()
  proxy.decide = firstUpdate({ landLate: gate.promise })
  await t.rejects(raise('a'), { name: /^MongoNetwork/ })
  t.equal(await stored('a'), 0)
  await raise('a')
  t.equal(await stored('a'), 1)
  gate.resolve()
  await proxy.landed()
  t.equal(await stored('a'), 2)
})

withMongo(t, 'a delayed request lands although its sender has given up', async (t, mongo) => {
  const { proxy, stored, raise } = await settingOf(t, mongo, { socketTimeoutMS: 200 })
  const gate = Promise.withResolvers<void>()
  proxy.decide = firstUpdate({ delayRequest: gate.promise })
  await t.rejects(raise('a'), /timed out/)
  t.equal(await stored('a'), 0)
  gate.resolve()
  await proxy.landed()
  t.equal(await stored('a'), 1)
})

withMongo(t, 'an undecided request waits for its fate, and tells when it is over', async (t, mongo) => {
  const { proxy, stored, raise } = await settingOf(t, mongo)
  for (const [fate, after] of [
    ['pass', 1],
    ['lose-answer', 2],
    ['lose-request', 2]
  ] as const) {
    const decision = Promise.withResolvers<Fate>()
    const sent = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    proxy.decide = ({ command }) => {
      if (command !== 'update') return 'pass'
      sent.resolve()
      return { undecided: decision.promise, answered: over.resolve }
    }
    const before = await stored('a')
    const [raised] = [Promise.allSettled([raise('a')]), await sent.promise]
    t.equal(await stored('a'), before, `${fate}: it waits`)
    decision.resolve(fate)
    await over.promise
    t.equal(await stored('a'), after, `${fate}: it is over`)
    t.match(await raised, [{ status: fate === 'pass' ? 'fulfilled' : 'rejected' }])
  }
})

withMongo(t, 'a disconnected server is back when it is reconnected', async (t, mongo) => {
  const { proxy, raise } = await settingOf(t, mongo, { serverSelectionTimeoutMS: 200 })
  proxy.disconnect()
  await t.rejects(raise('a'))
  proxy.reconnect()
  const later = await openMongo(t, proxy.url)
  t.match(await later.db('admin').command({ ping: 1 }), { ok: 1 })
})

withMongo(
  t,
  'a server that was killed and restarted is behind the same proxy',
  async (t, mongo) => {
    const { proxy, stored, raise } = await settingOf(t, mongo, { serverSelectionTimeoutMS: 200 })
    await mongo.stop()
    await t.rejects(raise('a'))
    await mongo.restart()
    const later = await openMongo(t, proxy.url)
    await later
      .db(mongo.database)
      .collection<Thing>('things')
      .updateOne({ _id: 'a' }, { $set: { n: 7 } })
    t.equal(await stored('a'), 7)
  },
  { control: true }
)

withRedis(t, 'requests and answers of Redis are lost and delayed alike', async (t, redis) => {
  const proxy = await startWireProxy(t, redis.url)
  const open = async (url: string) => {
    const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => 1 })
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    await client.connect()
    return client
  }
  const direct = await open(redis.url)
  const key = `${redis.prefix}:n`
  const raiseWith = async (fate: Fate) => {
    const client = await open(proxy.url)
    proxy.decide = ({ command }) => (command === 'incr' ? fate : 'pass')
    return client.incr(key)
  }
  t.equal(await raiseWith('pass'), 1)
  await t.rejects(raiseWith('lose-request'))
  t.equal(await direct.get(key), '1')
  await t.rejects(raiseWith('lose-answer'))
  t.equal(await direct.get(key), '2')
  const gate = Promise.withResolvers<void>()
  await t.rejects(raiseWith({ landLate: gate.promise }))
  t.equal(await direct.get(key), '2')
  gate.resolve()
  await proxy.landed()
  t.equal(await direct.get(key), '3')
})

t.test('messages are whole however they are cut', async (t) => {
  const message = (length: number) => {
    const bytes = Buffer.alloc(length, length)
    bytes.writeInt32LE(length, 0)
    return bytes
  }
  const messages = [message(16), message(40), message(17)]
  const all = Buffer.concat(messages)
  for (let size = 1; size <= all.length; size++) {
    const push = mongodbProtocol.createFraming()
    const pieces = Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
      all.subarray(i * size, (i + 1) * size)
    )
    t.strictSame(pieces.flatMap(push), messages, `pieces of ${size} bytes`)
  }
})
