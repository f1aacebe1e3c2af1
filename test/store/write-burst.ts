import { writeSync } from 'node:fs'
import type { MetaRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'

// Child process of the kill test: writes without end and names each document on stdout once its write is acknowledged.
const store = await openStore({ dataDir: process.argv[2] ?? '' }, { mode: 'serve' })
const meta = store.collection<MetaRow>('meta')

async function burst(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `w${writer}-${i}`
    await meta.insert({ id, value: 'x'.repeat(500) })
    writeSync(1, `${id}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, (_, writer) => burst(writer)))
