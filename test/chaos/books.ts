import { MongoClient } from 'mongodb'
import { type LedgerReport, verifyLedger } from '../../src/credits/verify.ts'
import type { AccountRow, LedgerEntryRow, MessageRow, RequestRow, SessionRow } from '../../src/store/collections.ts'
import { collections } from '../../src/store/collections.ts'
import type { MongoAddress } from '../../src/store/mongo/connect.ts'
import { openStore } from '../../src/store/open.ts'
import type { Document, Store } from '../../src/store/port.ts'

/** All that an installation has written, read from outside. */
export interface Books {
  accounts: AccountRow[]
  entries: LedgerEntryRow[]
  messages: MessageRow[]
  sessions: SessionRow[]
  requests: RequestRow[]
  ledger: LedgerReport
  /** Documents that still wait in an outbox. */
  waiting: number
}

const PAGE = 1000

/** Reads the books of this MongoDB. */
export async function readBooks(mongodb: MongoAddress): Promise<Books> {
  const waiting = await countWaiting(mongodb)
  const store = await openStore({ dataDir: '', mongodb }, { mode: 'inspect' })
  try {
    return {
      accounts: await all<AccountRow>(store, 'accounts'),
      entries: await all<LedgerEntryRow>(store, 'ledger_entries'),
      messages: await all<MessageRow>(store, 'messages'),
      sessions: await all<SessionRow>(store, 'sessions'),
      requests: await all<RequestRow>(store, 'requests'),
      ledger: await verifyLedger(store),
      waiting
    }
  } finally {
    await store.close()
  }
}

/** Accounts with holds, and documents in outboxes: what has to be nothing before the books are closed. */
export async function readUnfinished(mongodb: MongoAddress): Promise<{ holds: number; waiting: number }> {
  return withDatabase(mongodb, async (client) => {
    const accounts = client.db(mongodb.database).collection('accounts')
    return { holds: await accounts.countDocuments({ holdCount: { $gte: 1 } }), waiting: await countWaiting(mongodb) }
  })
}

/** Counted in the database itself: the store's own reads would publish what waits. */
async function countWaiting(mongodb: MongoAddress): Promise<number> {
  const sources = new Set(collections.flatMap(({ appendedFrom = [] }) => appendedFrom))
  return withDatabase(mongodb, async (client) => {
    let waiting = 0
    for (const source of sources)
      waiting += await client
        .db(mongodb.database)
        .collection(source)
        .countDocuments({ '%pending.0': { $exists: true } })
    return waiting
  })
}

async function withDatabase<T>({ url }: MongoAddress, use: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(url)
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

async function all<D extends Document>(store: Store, name: string): Promise<D[]> {
  const collection = store.collection<D>(name)
  const found: D[] = []
  for (;;) {
    const last = found.at(-1)
    const page = await collection.list({ limit: PAGE, ...(last && { after: { value: null, id: last.id } }) })
    found.push(...page)
    if (page.length < PAGE) return found
  }
}
