import type { Identity } from '../auth/identity.ts'
import { runIdOf } from '../ids.ts'
import type { AccountingAccountRow, ChargeRow } from '../store/accounting-rows.ts'
import type { AccountRow, LedgerEntryRow } from '../store/collections.ts'
import type { Collection, Store } from '../store/port.ts'
import type { FreeRunRow } from '../store/usage-rows.ts'
import type { FreeRuns } from './free-runs.ts'

/** What is on record of one run; amounts in micro-credits. */
export interface RunRecord {
  readonly userId: string
  readonly chatflowId: string
  readonly state: 'held' | 'settled' | 'released' | 'expired' | 'free' | 'pending' | 'refused'
  readonly heldMicro: number
  readonly chargedMicro: number
  readonly startedAt: number
  /** Absent while it runs. */
  readonly endedAt?: number
  /** What the books tell of it, of its beginning and, once there is one, of its end. */
  readonly meta: LedgerEntryRow['meta']
  /** As the list of transactions names it; null if there is none. */
  readonly transactionId: string | null
}

export interface Receipts {
  /** Of a message, a run or a transaction; undefined if there is no record of it. */
  find(id: string): Promise<RunRecord | undefined>
}

/** A set of books: the ledger, or the one in front of an accounting service. */
interface Book {
  accounts: Pick<Collection<AccountRow | AccountingAccountRow>, 'get'>
  entries: Collection<LedgerEntryRow>
  /** Charges that another service settles. */
  charges?: Pick<Collection<ChargeRow>, 'get'>
}

export interface ReceiptsOptions {
  store: Store
  freeRuns: Pick<FreeRuns, 'find'>
  /** The run if it runs in this process: one that costs nothing is on record only when it has ended. */
  running: (runId: string) => Omit<FreeRunRow, 'id' | 'at' | 'expiresAt'> | undefined
}

/** Ids of entries, charges and runs begin with it; those of messages never do. */
const RUN_ID = /^([a-z2-7]{26})(?:[:-]|$)/
/** Entries of one run: two for each attempt, and there are several only where writes were lost. */
const PAGE = 100
/** A run may end between the looks at its entries and its hold. */
const LOOKS = 3

/** Receipts out of the books, which keep them when the conversation is deleted. */
export function createReceipts({ store, freeRuns, running }: ReceiptsOptions): Receipts {
  const books: Book[] = [
    { accounts: store.collection<AccountRow>('accounts'), entries: store.collection('ledger_entries') },
    {
      accounts: store.collection<AccountingAccountRow>('accounting_accounts'),
      entries: store.collection('accounting_entries'),
      charges: store.collection('accounting_charges')
    }
  ]

  async function find(id: string): Promise<RunRecord | undefined> {
    const runId = RUN_ID.exec(id)?.[1] ?? runIdOf(id)
    for (const book of books) {
      const found = await findIn(book, runId)
      if (found) return found
    }
    const past = await freeRuns.find(runId)
    if (past) return free(past, past.at)
    const live = running(runId)
    return live && free(live)
  }

  return { find }
}

/** Whether the run is the caller's own: their account's, and where they came by a key, within what it reaches. */
export function isOwn({ userId, chatflowId, meta }: RunRecord, { userId: caller, key }: Identity): boolean {
  if (userId !== caller) return false
  if (!key) return true
  const isVisitors = key.visitorId === null || key.visitorId === meta['visitorId']
  return isVisitors && (key.chatflowIds === null || key.chatflowIds.includes(chatflowId))
}

async function findIn(book: Book, runId: string): Promise<RunRecord | undefined> {
  for (let looks = 1; looks <= LOOKS; looks++) {
    // The ids of a run's entries begin with its id: the primary key finds them without an index of their own.
    const page = await book.entries.list({ after: { value: null, id: `${runId}:` }, limit: PAGE })
    const entries = page.filter(({ requestId, attempt }) => requestId === runId && attempt !== null)
    const [first] = entries
    if (!first) return undefined
    const charge = entries.find(({ kind }) => kind === 'charge')
    if (charge) return ended(book, charge, beginningOf(entries, charge))
    const account = await book.accounts.get(first.accountId)
    const hold = account?.holds[runId]
    const open = hold && entries.find(({ kind, attempt }) => kind === 'hold' && attempt === hold.attempt)
    if (open) return held(open, hold.amount)
    const release = entries.findLast(({ kind }) => kind === 'release')
    if (release) return ended(book, release, beginningOf(entries, release))
  }
  return undefined
}

function beginningOf(entries: LedgerEntryRow[], end: LedgerEntryRow): LedgerEntryRow {
  return entries.find(({ kind, attempt }) => kind === 'hold' && attempt === end.attempt) ?? end
}

function held(begun: LedgerEntryRow, heldMicro: number): RunRecord {
  const { accountId: userId, at: startedAt, meta } = begun
  const amounts = { heldMicro, chargedMicro: 0, transactionId: null }
  return { userId, chatflowId: chatflowOf(begun), state: 'held', ...amounts, startedAt, meta }
}

async function ended({ charges }: Book, end: LedgerEntryRow, begun: LedgerEntryRow): Promise<RunRecord> {
  const { accountId: userId, kind, delta, meta, at } = end
  const isExpired = meta['ending'] === 'expired'
  const charge = kind === 'charge' ? await charges?.get(`${end.requestId}-${end.attempt}`) : undefined
  const own = kind === 'charge' ? 'settled' : 'released'
  const durationMs = meta['durationMs']
  return {
    userId,
    chatflowId: chatflowOf(end),
    // What another service has not taken yet, or never will, matters more than how the run came to its end.
    state: charge && charge.state !== 'settled' ? charge.state : isExpired ? 'expired' : own,
    heldMicro: typeof meta['amountMicro'] === 'number' ? meta['amountMicro'] : 0,
    chargedMicro: Math.abs(delta),
    startedAt: begun.at,
    // Its charge may have been booked later.
    endedAt: typeof durationMs === 'number' ? Math.min(at, begun.at + durationMs) : at,
    meta: { ...begun.meta, ...meta },
    transactionId: kind === 'charge' ? (charge?.id ?? end.id) : null
  }
}

function free({ userId, chatflowId, startedAt, meta }: Omit<FreeRunRow, 'id' | 'at' | 'expiresAt'>, endedAt?: number) {
  const amounts = { heldMicro: 0, chargedMicro: 0, transactionId: null }
  const end = endedAt === undefined ? {} : { endedAt }
  return { userId, chatflowId, state: 'free', ...amounts, startedAt, ...end, meta } as const
}

function chatflowOf({ meta }: LedgerEntryRow): string {
  return typeof meta['chatflowId'] === 'string' ? meta['chatflowId'] : ''
}
