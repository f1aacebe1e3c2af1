import { setImmediate as nextTurn } from 'node:timers/promises'
import { pagesOf } from '../store/collect.ts'
import type { LedgerEntryRow } from '../store/collections.ts'
import type { Collection, Document, Guard, Store } from '../store/port.ts'
import type { FreeRunRow } from '../store/usage-rows.ts'
import { type CountedRun, countedEntry, countedFree } from './counts.ts'

export interface RunsQuery {
  /** Epoch ms: ended from the first to before the second. */
  from: number
  to: number
  /** Absent: everybody's. */
  userId?: string
}

/** The predictions that have ended, in both sets of books and among the free ones. */
export interface EndedRuns {
  /** In pages, in no order; others get their turn between two. */
  between(query: RunsQuery): AsyncGenerator<CountedRun[]>
  /** When the first one ended; undefined if there is none. */
  firstAt(): Promise<number | undefined>
}

interface Source {
  firstAt(): Promise<number | undefined>
  pages(query: RunsQuery): AsyncGenerator<CountedRun[]>
}

const PAGE = 500
const BOOKS = ['ledger_entries', 'accounting_entries']
const KINDS = ['charge', 'release']

/** The ended runs in this store. */
export function createEndedRuns(store: Store): EndedRuns {
  const free = store.collection<FreeRunRow>('free_runs')
  const sources: Source[] = [
    ...BOOKS.flatMap((book) =>
      KINDS.map((kind) =>
        sourceOf<LedgerEntryRow>(store.collection(book), { kind }, { user: 'accountId', count: countedEntry })
      )
    ),
    sourceOf(free, {}, { user: 'userId', count: countedFree })
  ]
  return {
    async *between(query) {
      for (const source of sources) yield* source.pages(query)
    },
    async firstAt() {
      const found = await Promise.all(sources.map((source) => source.firstAt()))
      const known = found.filter((at) => at !== undefined)
      return known.length === 0 ? undefined : Math.min(...known)
    }
  }
}

function sourceOf<Row extends Document & { at: number }>(
  rows: Collection<Row>,
  equal: NonNullable<Guard['equal']>,
  { user, count }: { user: string; count: (row: Row) => CountedRun | undefined }
): Source {
  const order = { by: 'at', direction: 'asc' } as const
  return {
    async firstAt() {
      const [first] = await rows.list({ where: { equal }, order, limit: 1 })
      return first?.at
    },
    async *pages({ from, to, userId }) {
      const mine = userId === undefined ? {} : { [user]: userId }
      const where = { equal: { ...equal, ...mine }, gte: { at: from }, lt: { at: to } }
      for await (const page of pagesOf(rows, { where, order, limit: PAGE })) {
        yield page.map(count).filter((run) => run !== undefined)
        // A store in this process answers without ever leaving it.
        await nextTurn()
      }
    }
  }
}
