import type { Blobs } from '../blobs/port.ts'
import type { Clock } from '../clock.ts'
import { pagesOf } from '../store/collect.ts'
import type { FileRow } from '../store/collections.ts'
import type { Guard, Store } from '../store/port.ts'
import type { Removal } from './removal.ts'
import { fileRows, PAGE } from './rows.ts'
import type { Usage } from './usage.ts'

const DAY_MS = 86_400_000
/** Longer than a write of bytes may take: what has not arrived or left by then belongs to a process that died. */
const UNFINISHED_MS = 2 * 3_600_000

export interface UpkeepOptions {
  store: Store
  blobs: Blobs
  clock: Clock
  usage: Usage
  removal: Removal
}

/** What is done about files without being asked for. */
export interface Upkeep {
  /**
   * Removes what no message has named for a day, and what dead processes left half arrived or half removed; answers how
   * many. Needed about every ten minutes.
   */
  sweep(): Promise<number>
  /** Removes bytes without a row, and corrects counts that are wrong. Needed about every hour. */
  reconcile(): Promise<{ orphans: number; miscounted: number }>
  /** Corrects the count of one user, whose rows came by another way than `arrive`; false if it was wrong. */
  recount(userId: string): Promise<boolean>
}

/** The upkeep of these files; to run it twice at once is harmless. */
export function createUpkeep({ store, blobs, clock, usage, removal }: UpkeepOptions): Upkeep {
  const files = fileRows(store)

  async function each(where: Guard, work: (row: FileRow) => Promise<unknown>): Promise<number> {
    let done = 0
    for await (const page of pagesOf(files, { where, limit: PAGE }))
      for (const row of page) {
        await work(row)
        done++
      }
    return done
  }

  /** Ids of rows behind `after`, up to `last`. */
  async function idsBetween(after: string, last: string): Promise<Set<string>> {
    const ids = new Set<string>()
    for (let id = after; ; ) {
      const page = await files.list({ after: { value: null, id }, limit: PAGE })
      for (const row of page) ids.add(row.id)
      id = page.at(-1)?.id ?? last
      if (page.length < PAGE || id >= last) return ids
    }
  }

  async function removeOrphans(): Promise<number> {
    let orphans = 0
    for (let after = ''; ; ) {
      const page = await blobs.list({ ...(after === '' ? {} : { after }), limit: PAGE })
      const last = page.at(-1)
      if (!last) return orphans
      // After the bytes: a row is made before them.
      const ids = await idsBetween(after, last.id)
      for (const { id, createdAt } of page)
        if (!ids.has(id) && createdAt < clock.now() - DAY_MS && (await blobs.remove(id))) orphans++
      after = last.id
    }
  }

  return {
    async sweep() {
      const unfinished = { stateAt: clock.now() - UNFINISHED_MS }
      const unused = { createdAt: clock.now() - DAY_MS }
      const ended = [
        await each({ equal: { state: 'arriving' }, lt: unfinished }, removal.remove),
        await each({ equal: { state: 'leaving' }, lt: unfinished }, removal.finish),
        await each({ equal: { state: 'kept', isUsed: false }, lt: unused }, removal.remove)
      ]
      return ended.reduce((sum, count) => sum + count, 0)
    },
    async reconcile() {
      return { orphans: await removeOrphans(), miscounted: await usage.recountAll() }
    },
    recount: usage.recount
  }
}
