import { openStore } from '../../src/store/open.ts'
import type { Say } from '../rounds.ts'
import { type Crowd, type Row, rowsOf, type Size } from './rows.ts'

const AT_ONCE = 1000
const TOLD_EVERY = 200_000

/**
 * Makes an installation large, by the port and not by predictions, which would take a day. Rows look like those of
 * predictions; the books do not balance, and nothing that is measured looks whether they do.
 */
export async function fill(dataDir: string, size: Size, { crowd, say }: { crowd: Crowd; say: Say }): Promise<void> {
  const store = await openStore({ dataDir }, { mode: 'serve' })
  let written = 0
  try {
    await writeAll(rowsOf(size, crowd))
  } finally {
    await store.close()
  }

  /** Together, so that they share transactions. */
  async function writeAll(rows: Iterable<Row>): Promise<void> {
    let together: Promise<boolean>[] = []
    for (const { collection, document } of rows) {
      together.push(store.collection(collection).insert(document))
      if (together.length < AT_ONCE) continue
      await Promise.all(together)
      together = []
      written += AT_ONCE
      if (written % TOLD_EVERY === 0) say(`  ${written.toLocaleString('en')} rows written`)
    }
    await Promise.all(together)
  }
}
