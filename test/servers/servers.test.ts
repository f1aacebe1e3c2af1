import { once } from 'node:events'
import { Redis } from 'ioredis'
import { MongoClient } from 'mongodb'
import t from 'tap'
import { findMongo, findProgram, findRedis } from './available.ts'
import { type MongoServer, withMongo } from './mongodb.ts'
import { type RedisServer, withRedis } from './redis.ts'

const IMPATIENT_MS = 300

async function openMongo(t: Tap, mongo: MongoServer, options = {}): Promise<MongoClient> {
  const client = new MongoClient(mongo.url, { retryWrites: false, serverSelectionTimeoutMS: 5_000, ...options })
  t.teardown(() => client.close())
  return client.connect()
}

async function openRedis(t: Tap, redis: RedisServer, options = {}): Promise<Redis> {
  const client = new Redis(redis.url, { lazyConnect: true, retryStrategy: () => 50, ...options })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await client.connect()
  return client
}

type Tap = Parameters<Parameters<typeof withMongo>[2]>[0]

withMongo(t, 'databases of one server know nothing of each other', async (t, mongo) => {
  const client = await openMongo(t, mongo)
  const other = mongo.freshDatabase()
  t.not(other, mongo.database)
  await client.db(mongo.database).collection<{ _id: string }>('things').insertOne({ _id: 'one' })
  t.equal(await client.db(mongo.database).collection('things').countDocuments(), 1)
  t.equal(await client.db(other).collection('things').countDocuments(), 0)
})

withMongo(
  t,
  'a killed MongoDB server comes back at the same address with its data',
  async (t, mongo) => {
    const things = (await openMongo(t, mongo)).db(mongo.database).collection<{ _id: string }>('things')
    await things.insertOne({ _id: 'one' }, { writeConcern: { w: 1, journal: true } })
    const before = mongo.pid
    await mongo.stop()
    t.equal(mongo.pid, undefined)
    await mongo.restart()
    t.not(mongo.pid, before)
    t.strictSame(await (await openMongo(t, mongo)).db(mongo.database).collection('things').find().toArray(), [
      { _id: 'one' }
    ])
  },
  { control: true }
)

withMongo(
  t,
  'a halted MongoDB server answers nothing until it goes on',
  async (t, mongo) => {
    const client = await openMongo(t, mongo, { socketTimeoutMS: IMPATIENT_MS })
    await client.db('admin').command({ ping: 1 })
    mongo.pause()
    await t.rejects(client.db('admin').command({ ping: 1 }))
    mongo.resume()
    const later = await openMongo(t, mongo)
    t.match(await later.db('admin').command({ ping: 1 }), { ok: 1 })
    mongo.pause()
    await mongo.stop()
    t.pass('and can be killed while it is halted')
  },
  { control: true }
)

withRedis(t, 'keys under a prefix are free to use', async (t, redis) => {
  const client = await openRedis(t, redis)
  t.not(redis.freshPrefix(), redis.prefix)
  t.equal(await client.set(`${redis.prefix}:one`, '1'), 'OK')
  t.equal(await client.get(`${redis.prefix}:one`), '1')
})

withRedis(
  t,
  'a killed Redis comes back at the same address, empty',
  async (t, redis) => {
    const client = await openRedis(t, redis)
    await client.set('one', '1')
    await redis.stop()
    await redis.restart()
    t.equal(await client.get('one'), null)
  },
  { control: true }
)

withRedis(
  t,
  'a halted Redis answers nothing until it goes on',
  async (t, redis) => {
    const client = await openRedis(t, redis, { commandTimeout: IMPATIENT_MS })
    redis.pause()
    await t.rejects(client.get('one'), /timed out/)
    redis.resume()
    const later = await openRedis(t, redis)
    t.equal(await later.ping(), 'PONG')
  },
  { control: true }
)

withRedis(
  t,
  'a Redis with a password refuses those who do not know it',
  async (t, redis) => {
    const client = await openRedis(t, redis)
    t.equal(await client.ping(), 'PONG')
    const stranger = new Redis(redis.url.replace(/:[^:@]*@/, ''), { lazyConnect: true, retryStrategy: () => null })
    const [[error]] = await Promise.all([once(stranger, 'error'), t.rejects(stranger.connect())])
    t.match(String(error), /NOAUTH/)
  },
  { settings: { requirepass: 'the password' } }
)

t.test('addresses in the environment go before programs', async (t) => {
  t.strictSame(findMongo({ TEST_MONGODB_URL: 'mongodb://db.example' }), { url: 'mongodb://db.example' })
  t.strictSame(findRedis({ TEST_REDIS_URL: 'redis://cache.example' }), { url: 'redis://cache.example' })
})

t.test('a program is looked for on the PATH and nowhere else', async (t) => {
  const folder = t.testdir({ 'redis-server': 'not executable' })
  t.equal(findRedis({ PATH: folder }), undefined)
  t.equal(findRedis({}), undefined)
  t.match(findProgram('node'), /node$/)
})
