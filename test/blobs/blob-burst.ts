import { writeSync } from 'node:fs'
import { openBlobs } from '../../src/blobs/open.ts'
import { CHUNK_BYTES } from '../../src/blobs/chunks.ts'
import { createSystemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/open.ts'

// Child process of the kill test: writes and removes without end, and names each blob on stdout once its write is
// acknowledged, or `-` and its name before it is removed.
const [dataDir = '', url, database = ''] = process.argv.slice(2)
const store = await openStore({ dataDir, mongodb: url ? { url, database } : undefined }, { mode: 'serve' })
const blobs = await openBlobs({ dataDir, mongo: store.mongo }, createSystemClock())

async function burst(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `w${writer}-${i}`
    const bytes = Buffer.alloc((i % 4) * CHUNK_BYTES + writer + 1, id)
    await blobs.write(id, bytes, { maxBytes: bytes.length })
    writeSync(1, `${id}\n`)
    if (i % 3 !== 2) continue
    writeSync(1, `-w${writer}-${i - 1}\n`)
    await blobs.remove(`w${writer}-${i - 1}`)
  }
}

await Promise.all(Array.from({ length: 4 }, (_, writer) => burst(writer)))
