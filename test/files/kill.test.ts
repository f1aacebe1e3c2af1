import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { openBlobs } from '../../src/blobs/open.ts'
import { createFiles } from '../../src/files/files.ts'
import { createIds } from '../../src/ids.ts'
import type { FileRow, FileUsageRow } from '../../src/store/collections.ts'
import { openStore, type Place } from '../../src/store/open.ts'
import { createFakeClock } from '../clock.ts'
import { withMongo } from '../servers/mongodb.ts'

t.setTimeout(300_000)
const DAY = 86_400_000

/** Lets a process add and remove files, kills it after this many lines, and looks at what the upkeep makes of the rest. */
async function killed(t: Test, place: Place, lines: number): Promise<void> {
  const { dataDir, mongodb } = place
  const args = [
    join(import.meta.dirname, 'file-burst.ts'),
    dataDir,
    ...(mongodb ? [mongodb.url, mongodb.database] : [])
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const kept = new Set<string>()
  const removed = new Set<string>()
  let count = 0
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('-')) removed.add(line.slice(1))
    else kept.add(line)
    if (++count === lines) child.kill('SIGKILL')
  }
  if (child.signalCode === null && child.exitCode === null) await once(child, 'exit')

  const store = await openStore(place, { mode: 'serve' })
  t.teardown(() => store.close())
  const clock = createFakeClock(Date.now() + 2 * DAY)
  const blobs = await openBlobs({ dataDir, mongo: store.mongo }, clock)
  t.teardown(() => blobs.close())
  const files = createFiles({ store, blobs, clock, ids: createIds(), maxFileBytes: 1e6, maxUserBytes: 1e9 })
  await files.sweep()
  t.match(await files.reconcile(), { miscounted: 0 }, 'the count was right without being put right')

  const rows = await store.collection<FileRow>('files').list({ limit: 1000 })
  const usage = await store.collection<FileUsageRow>('file_usage').get('u1')
  const ids = rows.map(({ id }) => id).toSorted()
  t.same(
    (await blobs.list({ limit: 1000 })).map(({ id }) => id),
    ids,
    'a file has a row and bytes, or neither'
  )
  t.match(usage, { bytes: rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), files: rows.length, released: {} })
  t.same(
    [...kept].filter((id) => !removed.has(id) && !ids.includes(id)),
    [],
    'what was kept is there'
  )
  for (const row of rows) t.match(await files.owned('u1', row.id), { state: 'kept', isUsed: true })
}

for (const lines of [1, 13, 60])
  t.test(`kill -9 after ${lines} lines, on SQLite`, (t) => killed(t, { dataDir: join(t.testdir(), 'data') }, lines))

void withMongo(t, 'kill -9 on MongoDB', (t, mongodb) => killed(t, { dataDir: '', mongodb }, 23))
