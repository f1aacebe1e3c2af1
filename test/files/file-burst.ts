import { writeSync } from 'node:fs'
import { openBlobs } from '../../src/blobs/open.ts'
import { createSystemClock } from '../../src/clock.ts'
import { createFiles } from '../../src/files/files.ts'
import { createIds } from '../../src/ids.ts'
import { openStore } from '../../src/store/open.ts'

// Child process of the kill test: files of one user come and go without end; each is named on stdout once it is kept, or
// with `-` before it is removed.
const [dataDir = '', url, database = ''] = process.argv.slice(2)
const clock = createSystemClock()
const store = await openStore({ dataDir, mongodb: url ? { url, database } : undefined }, { mode: 'serve' })
const blobs = await openBlobs({ dataDir, mongo: store.mongo }, clock)
const files = createFiles({ store, blobs, clock, ids: createIds(), maxFileBytes: 1e6, maxUserBytes: 1e9 })

async function burst(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const bytes = Buffer.alloc(writer * 1000 + i + 1, 'x')
    const row = await files.add({ userId: 'u1', files: [{ name: 'a.txt', claims: ['text/plain'], bytes }] })
    await files.use(row, `s${writer}`)
    writeSync(1, `${row.id}\n`)
    if (i % 2 === 0) continue
    writeSync(1, `-${row.id}\n`)
    await files.remove('u1', row.id)
  }
}

await Promise.all(Array.from({ length: 4 }, (_, writer) => burst(writer)))
