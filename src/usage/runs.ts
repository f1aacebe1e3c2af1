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

type Equal = NonNullable<Guard['equal']>

const PAGE = 250
const BOOKS = ['ledger_entries', 'accounting_entries']
/** What a run ends with. */
const KINDS: readonly LedgerEntryRow['kind'][] = ['charge', 'release']
const ORDER = { by: 'at', direction: 'asc' } as const

/** The ended runs in this store. */
export function createEndedRuns(store: Store): EndedRuns {
  const books = BOOKS.map((book) => store.collection<LedgerEntryRow>(book))
  const free = store.collection<FreeRunRow>('free_runs')

  async function* between({ userId, ...period }: RunsQuery): AsyncGenerator<CountedRun[]> {
    for (const entries of books) {
      // Of one user there are few enough to look at every entry, and an index that knows them.
      const wanted: Equal[] = userId === undefined ? KINDS.map((kind) => ({ kind })) : [{ accountId: userId }]
      for (const equal of wanted)
        for await (const page of pagesBetween(entries, equal, period))
          yield page.flatMap((entry) => (KINDS.includes(entry.kind) ? (countedEntry(entry) ?? []) : []))
    }
    const mine: Equal = userId === undefined ? {} : { userId }
    for await (const page of pagesBetween(free, mine, period)) yield page.map(countedFree)
  }

  return {
    between,
    async firstAt() {
      const first = [
        ...books.flatMap((entries) => KINDS.map((kind) => firstOf(entries, { kind }))),
        firstOf<FreeRunRow>(free, {})
      ]
      const known = (await Promise.all(first)).filter((at) => at !== undefined)
      return known.length === 0 ? undefined : Math.min(...known)
    }
  }
}

async function firstOf<Row extends Document & { at: number }>(rows: Collection<Row>, equal: Equal) {
  const [first] = await rows.list({ where: { equal }, order: ORDER, limit: 1 })
  return first?.at
}

async function* pagesBetween<Row extends Document & { at: number }>(
  rows: Collection<Row>,
  equal: Equal,
  { from, to }: { from: number; to: number }
): AsyncGenerator<Row[]> {
  const where = { equal, gte: { at: from }, lt: { at: to } }
  for await (const page of pagesOf(rows, { where, order: ORDER, limit: PAGE })) {
    yield page
    // A store in this process answers without ever leaving it.
    await nextTurn()
  }
}
