import * as fc from 'fast-check'
import t from 'tap'
import { collections } from '../../src/store/collections.ts'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { DIMENSIONS } from '../../src/usage/groups.ts'
import { createFakeClock } from '../clock.ts'
import { ACCOUNT } from '../credits/hostile-actors.ts'
import { play } from '../credits/hostile-play.ts'
import { requireProperty } from '../credits/hostile-property.ts'
import { type Scenario, scenarios } from '../credits/hostile-scenario.ts'
import type { Counts } from '../credits/hostile-schedule.ts'
import { createStoreWire } from '../credits/hostile-store.ts'
import { withMongo } from '../servers/mongodb.ts'
import { chargedIn, openUsage } from './open.ts'

const HOUR = 3_600_000
const NEEDED = /^(accounts|ledger_entries|accounting_entries|accounting_accounts|requests|free_runs|usage_.*)$/
const specs = collections.filter(({ name }) => NEEDED.test(name))

t.setTimeout(0)

/** Plays the scenario; then reports must say what the books say, whatever of them has been added up. */
async function playAndReport(scenario: Scenario, store: Store): Promise<Counts> {
  const clock = createFakeClock()
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const books = async () => ({ account: await accounts.get(ACCOUNT), entries: await entries.list({ limit: 1000 }) })
  const counts = await play(scenario, { clock, wire: createStoreWire(store), calm: store, books })
  const charged = await chargedIn(store)
  const ended = (await books()).entries.filter(({ kind }) => kind === 'charge' || kind === 'release').length
  const { rollUp, report } = openUsage({ store, clock })
  for (const hours of [0, 1, 2, 24, 24, 72]) {
    clock.advance(hours * HOUR)
    await rollUp.run()
    for (const groupBy of [[], DIMENSIONS]) {
      const groups = await report(groupBy)
      const sum = groups.reduce((all, { counts: of }) => all + of.chargedMicro, 0)
      const predictions = groups.reduce((all, { counts: of }) => all + of.predictions, 0)
      if (sum !== charged || predictions !== ended) throw new Error(`${sum} of ${charged}, ${predictions} of ${ended}`)
    }
  }
  return counts
}

t.test('after whatever schedule, reports say what the books say', (t) =>
  requireProperty(t, {
    size: { errands: 10, steps: 300 },
    runs: Number(process.env['LEDGER_RUNS'] ?? 100),
    limitMs: 3_600_000,
    async play(scenario) {
      const store = createSqliteStore({ path: ':memory:', specs })
      try {
        return await playAndReport(scenario, store)
      } finally {
        await store.close()
      }
    }
  })
)

void withMongo(t, 'the same on MongoDB', async (t, { url, freshDatabase }) => {
  const property = fc.asyncProperty(scenarios({ errands: 6, steps: 150 }), async (scenario) => {
    const clock = createFakeClock()
    const { store, makeIndexes } = await connectMongo({ url, database: freshDatabase() }, { specs, clock })
    await makeIndexes()
    try {
      await playAndReport(scenario, store)
    } finally {
      await store.close()
    }
  })
  await fc.assert(property, { numRuns: 8, interruptAfterTimeLimit: 60_000 })
  t.pass('so they do')
})
