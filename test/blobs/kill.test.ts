import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import t from 'tap'
import { openBlobs } from '../../src/blobs/open.ts'
import { openStore } from '../../src/store/open.ts'
import { createFakeClock } from '../clock.ts'
import { withMongo } from '../servers/mongodb.ts'
import { checkWhole, killWriter } from './kill.ts'
import { keptIn } from './kept.ts'

t.setTimeout(300_000)

for (const lines of [1, 14, 60]) {
  t.test(`kill -9 after ${lines} acknowledgements leaves whole blobs in SQLite, and nothing else`, async (t) => {
    const dataDir = join(t.testdir(), 'data')
    const told = await killWriter(t, [dataDir], lines)
    const store = await openStore({ dataDir }, { mode: 'serve' })
    t.teardown(() => store.close())
    const blobs = await openBlobs({ dataDir }, createFakeClock())
    t.teardown(() => blobs.close())
    const chunks = await checkWhole(t, blobs, told)
    t.strictSame(keptIn(join(dataDir, 'blobs.db')), { chunks, unfinished: 0 })
  })
}

void withMongo(t, 'kill -9 leaves whole blobs in GridFS, and what else there is goes in time', async (t, address) => {
  const { url, database } = address
  const told = await killWriter(t, ['', url, database], 14)
  const store = await openStore({ dataDir: '', mongodb: address }, { mode: 'serve' })
  t.teardown(() => store.close())
  const clock = createFakeClock(Date.now() + 3 * 3_600_000)
  const blobs = await openBlobs({ dataDir: '', mongo: store.mongo }, clock)
  await checkWhole(t, blobs, told)
  await blobs.maintain()
  const chunks = await checkWhole(t, blobs, told)
  const client = new MongoClient(url)
  t.teardown(() => client.close())
  const count = (name: string) => client.db(database).collection(name).countDocuments()
  t.equal(await count('blobs.chunks'), chunks)
  t.equal(await count('blobs.unfinished'), 0)
})
