import { DatabaseSync } from 'node:sqlite'
import type { Kept } from '../contract/blobs.ts'

/** What a database of blobs really holds. */
export function keptIn(path: string): Kept {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const count = (table: string) => Number(db.prepare(`select count(*) as n from ${table}`).get()?.['n'])
    return { chunks: count('chunks'), unfinished: count('unfinished') }
  } finally {
    db.close()
  }
}
