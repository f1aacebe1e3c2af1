import { MongoClient } from 'mongodb'
import type { Test } from 'tap'
import type { Clock } from '../../src/clock.ts'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import type { CollectionSpec } from '../../src/store/port.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import { fromDocument, type StoredDocument } from '../../src/store/mongo/document.ts'
import { createFakeClock, type FakeClock } from '../clock.ts'
import type { MongoServer } from '../servers/mongodb.ts'
import { startWireProxy } from '../servers/wire-proxy.ts'
import { ACCOUNT } from './hostile-actors.ts'
import type { Books } from './hostile-books.ts'
import type { Stage } from './hostile-play.ts'
import { startWireProcess, type WireProcess } from './wire-process.ts'

const STUCK_MS = 20_000
/** Longer than documents gather before they are published. */
const GATHERING_MS = 1000

export interface WireStage {
  /** A stage with an empty database. */
  next(): Promise<Stage>
  /** After a failure, when nobody knows what is still on its way: the next stage has processes of its own. */
  renew(): Promise<void>
}

/** Two processes, each behind a proxy of its own, and one database, which serve one scenario after another until the test ends. */
export async function openWireStage(
  t: Test,
  { url, freshDatabase }: MongoServer,
  specs: CollectionSpec[]
): Promise<WireStage> {
  let clock: FakeClock = createFakeClock()
  // The stores outlive a scenario, the clock of each begins anew.
  const shared: Clock = { now: () => clock.now(), after: (...args) => clock.after(...args) }
  const database = freshDatabase()
  const { store: calm, makeIndexes } = await connectMongo({ url, database }, { specs, clock: shared })
  await makeIndexes()
  const client = await new MongoClient(url).connect()
  const db = client.db(database)
  const proxies = [await startWireProxy(t, url), await startWireProxy(t, url)]
  const processes: (WireProcess | undefined)[] = []
  /** Those of processes that died too: their requests may still be under way. */
  const all = new Set<WireProcess>()
  let moved = Promise.withResolvers<void>()

  async function start(index: number): Promise<WireProcess> {
    const proxy = proxies[index]
    if (!proxy) throw new Error(`There is no proxy ${index}`)
    const process = await startWireProcess({ proxy, database, specs, clock: shared, moved: () => moved.resolve() })
    const kept: WireProcess = {
      ...process,
      async kill() {
        processes[index] = undefined
        await process.kill()
      }
    }
    all.add(kept)
    processes[index] = kept
    return kept
  }

  async function settled(): Promise<void> {
    for (;;) {
      moved = Promise.withResolvers()
      // What follows from the last answer has been asked for in these turns.
      await nextTurn()
      await nextTurn()
      const isStill = [...all].every((process) => process.isStill())
      if (isStill) return
      await orStuck(moved.promise)
    }
  }

  async function books(): Promise<Books> {
    const [account, made] = await Promise.all([
      db.collection<StoredDocument>('accounts').findOne({ _id: ACCOUNT }),
      db.collection<StoredDocument>('ledger_entries').find().toArray()
    ])
    const waiting = Object.values(account?.['%outbox'] ?? {}).map(({ document }) => document)
    return {
      account: account ? (fromDocument(account) as AccountRow) : undefined,
      entries: [...made, ...waiting].map((entry) => fromDocument(entry) as LedgerEntryRow)
    }
  }

  async function requirePublished(): Promise<void> {
    for (const account of await db.collection<StoredDocument>('accounts').find().toArray()) {
      const left = [...Object.keys(account['%outbox'] ?? {}), ...(account['%pending'] ?? [])]
      if (left.length > 0) throw new Error(`Not published: ${left.join(', ')}`)
    }
  }

  async function renew(): Promise<void> {
    for (const process of processes) {
      const left = process?.waiting() ?? []
      await process?.kill()
      for (const { decide } of left) decide('lose-request')
    }
    all.clear()
  }

  /** What the stores still had to publish is out, so that none of it comes into the next scenario. */
  async function atRest(): Promise<void> {
    for (;;) {
      clock.advance(GATHERING_MS)
      await settled()
      const left = processes.flatMap((process) => process?.waiting() ?? [])
      if (left.length === 0) return
      for (const { decide } of left) decide('pass')
    }
  }

  t.teardown(async () => {
    await renew()
    await calm.close()
    await client.close()
  })

  return {
    async next() {
      await atRest()
      for (const process of all) if (!processes.includes(process)) all.delete(process)
      await Promise.all(specs.map(({ name }) => db.collection(name).deleteMany({})))
      clock = createFakeClock()
      return {
        clock,
        calm,
        books,
        requirePublished,
        wire: { start: async (index) => processes[index] ?? start(index), settled }
      }
    },
    renew
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

async function orStuck(moved: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('The wire does not come to rest')), STUCK_MS)
  try {
    await Promise.race([moved, promise])
  } finally {
    clearTimeout(timer)
  }
}
