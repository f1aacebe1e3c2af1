import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { createSqliteBlobs } from '../../src/blobs/sqlite.ts'
import { createFakeClock } from '../clock.ts'
import { blobsContract, type OpenedBlobs } from '../contract/blobs.ts'
import { blobsUpkeepContract } from '../contract/blobs-upkeep.ts'
import { keptIn } from './kept.ts'

async function open(t: Test): Promise<OpenedBlobs> {
  const clock = createFakeClock()
  const options = { path: join(t.testdir(), 'blobs.db'), clock }
  let blobs = await createSqliteBlobs(options)
  t.teardown(() => blobs.close())
  return {
    blobs,
    clock,
    async reopen() {
      await blobs.close()
      blobs = await createSqliteBlobs(options)
      return blobs
    },
    kept: async () => keptIn(options.path)
  }
}

blobsContract(t, 'sqlite', open)
blobsUpkeepContract(t, 'sqlite', open)

t.test('a file that is no database is refused as the store is', async (t) => {
  const folder = t.testdir({ 'blobs.db': 'this is not a database, and long enough to be told from an empty one' })
  const opening = createSqliteBlobs({ path: join(folder, 'blobs.db'), clock: createFakeClock() })
  await t.rejects(opening, { code: 'store_unavailable' })
  const nowhere = createSqliteBlobs({ path: join(folder, 'nowhere', 'blobs.db'), clock: createFakeClock() })
  await t.rejects(nowhere, { code: 'store_unavailable' })
})

t.test('other work of the process goes on between any two chunks', async (t) => {
  const { blobs } = await open(t)
  const bytes = Buffer.alloc(5 * 1024 * 1024, 1)
  let turns = 0
  let isDone = false
  const count = () => {
    turns++
    if (!isDone) setImmediate(count)
  }
  setImmediate(count)
  await Promise.all(['a', 'b', 'c', 'd'].map((id) => blobs.write(id, bytes, { maxBytes: bytes.length })))
  isDone = true
  t.ok(turns >= 4 * 20, `${turns} turns for ${4 * 21} chunks`)
})

t.test('a database that is locked from outside is unavailable, and comes back', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'blobs.db')
  const blobs = await createSqliteBlobs({ path, clock: createFakeClock() })
  t.teardown(() => blobs.close())
  const other = new DatabaseSync(path)
  t.teardown(() => other.close())
  other.exec('begin immediate')
  await t.rejects(blobs.write('x', Buffer.alloc(10), { maxBytes: 10 }), { code: 'store_unavailable' })
  other.exec('rollback')
  t.ok(await blobs.write('x', Buffer.alloc(10), { maxBytes: 10 }))
})
