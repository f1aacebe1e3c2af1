import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { GridFSBucket, MongoClient } from 'mongodb'
import t, { type Test } from 'tap'
import { CHUNK_BYTES } from '../../src/blobs/chunks.ts'
import { openBlobs } from '../../src/blobs/open.ts'
import type { Blobs } from '../../src/blobs/port.ts'
import type { Clock } from '../../src/clock.ts'
import { openStore } from '../../src/store/open.ts'
import type { MongoAddress } from '../../src/store/mongo/connect.ts'
import { createFakeClock } from '../clock.ts'
import { blobsContract, bytesOf, type Kept, MAX, type OpenedBlobs } from '../contract/blobs.ts'
import { blobsUpkeepContract } from '../contract/blobs-upkeep.ts'
import { withMongo } from '../servers/mongodb.ts'
import { startWireProxy } from '../servers/wire-proxy.ts'

// FerretDB takes milliseconds for each write.
t.setTimeout(300_000)

/** On a connection of its own, opened as the gateway opens it. */
async function connect(t: Test, mongodb: MongoAddress, clock: Clock): Promise<Blobs> {
  const store = await openStore({ dataDir: '', mongodb }, { mode: 'serve' })
  t.teardown(() => store.close())
  return openBlobs({ dataDir: '', mongo: store.mongo }, clock)
}

async function look(t: Test, { url, database }: MongoAddress) {
  const client = new MongoClient(url)
  t.teardown(() => client.close())
  const db = client.db(database)
  const count = (name: string) => db.collection(name).countDocuments()
  const kept = async (): Promise<Kept> => ({
    chunks: await count('blobs.chunks'),
    unfinished: await count('blobs.unfinished')
  })
  return { db, kept }
}

void withMongo(t, 'the contract of the blobs', async (t, { url, name, freshDatabase }) => {
  async function open(t: Test): Promise<OpenedBlobs> {
    const address = { url, database: freshDatabase() }
    const clock = createFakeClock()
    const { kept } = await look(t, address)
    let blobs = await connect(t, address, clock)
    return {
      blobs,
      clock,
      kept,
      async reopen() {
        await blobs.close()
        blobs = await connect(t, address, clock)
        return blobs
      }
    }
  }

  blobsContract(t, name, open)
  blobsUpkeepContract(t, name, open)
})

void withMongo(t, 'what is written is a file of GridFS', async (t, address) => {
  const blobs = await connect(t, address, createFakeClock())
  const { db } = await look(t, address)
  const bucket = new GridFSBucket(db, { bucketName: 'blobs' })
  for (const size of [0, 100, 2 * CHUNK_BYTES + 1]) {
    const bytes = randomBytes(size)
    await blobs.write(`size-${size}`, bytes, MAX)
    t.ok(bytes.equals(await buffer(bucket.openDownloadStreamByName(`size-${size}`))))
    const [file] = await bucket.find({ filename: `size-${size}` }).toArray()
    t.match(file, { length: size, chunkSize: CHUNK_BYTES, uploadDate: new Date(1_700_000_000_000) })
  }
})

void withMongo(t, 'processes that start at the same moment all find their indexes', async (t, address) => {
  const clock = createFakeClock()
  const stores = await Promise.all(
    Array.from({ length: 5 }, () => openStore({ dataDir: '', mongodb: address }, { mode: 'serve' }))
  )
  for (const store of stores) t.teardown(() => store.close())
  const all = await Promise.all(stores.map(({ mongo }) => openBlobs({ dataDir: '', mongo }, clock)))
  const written = await Promise.all(all.map((blobs, i) => blobs.write('one', Buffer.alloc(1000, i), MAX)))
  t.equal(written.filter(Boolean).length, 1)
  const { db } = await look(t, address)
  const keys = async (name: string) => (await db.collection(name).indexes()).map(({ key, unique }) => [key, unique])
  t.match(await keys('blobs.files'), [[{ _id: 1 }], [{ filename: 1 }, true]])
  t.match(await keys('blobs.chunks'), [[{ _id: 1 }], [{ files_id: 1, n: 1 }, true]])
})

void withMongo(t, 'a head whose answer was lost is not without its chunks', async (t, mongo) => {
  const clock = createFakeClock()
  const proxy = await startWireProxy(t, mongo.url)
  const blobs = await connect(t, { url: proxy.url, database: mongo.database }, clock)
  const { kept } = await look(t, mongo)
  proxy.decide = ({ command, collection }) =>
    command === 'insert' && collection === 'blobs.files' ? 'lose-answer' : 'pass'
  const bytes = randomBytes(3 * CHUNK_BYTES)
  await t.rejects(blobs.write('lost', bytes, MAX), { code: 'store_unavailable' })
  await proxy.landed()
  proxy.decide = () => 'pass'
  t.ok(bytes.equals(await bytesOf(blobs, 'lost')))
  t.equal((await kept()).unfinished, 1)
  clock.advance(3 * 3_600_000)
  await blobs.maintain()
  t.strictSame(await kept(), { chunks: 3, unfinished: 0 })
  t.ok(bytes.equals(await bytesOf(blobs, 'lost')), 'the clean-up takes the mark, not the blob')
})

void withMongo(t, 'a chunk that does not arrive fails the write, and leaves nothing', async (t, mongo) => {
  const proxy = await startWireProxy(t, mongo.url)
  const blobs = await connect(t, { url: proxy.url, database: mongo.database }, createFakeClock())
  const { kept } = await look(t, mongo)
  let chunks = 0
  proxy.decide = ({ collection }) => (collection === 'blobs.chunks' && ++chunks === 3 ? 'lose-request' : 'pass')
  await t.rejects(blobs.write('cut', randomBytes(5 * CHUNK_BYTES), MAX), { code: 'store_unavailable' })
  t.equal(await blobs.stat('cut'), undefined)
  t.strictSame(await kept(), { chunks: 0, unfinished: 0 })
})
