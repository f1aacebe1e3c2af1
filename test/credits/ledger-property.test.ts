import t from 'tap'
import { collections } from '../../src/store/collections.ts'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock } from '../clock.ts'
import { ACCOUNT } from './hostile-actors.ts'
import { play } from './hostile-play.ts'
import { requireProperty } from './hostile-property.ts'
import type { Scenario } from './hostile-scenario.ts'
import type { Counts } from './hostile-schedule.ts'
import { createStoreWire } from './hostile-store.ts'

const specs = collections.filter(({ name }) => ['accounts', 'ledger_entries', 'requests'].includes(name))
const RUNS = Number(process.env['LEDGER_RUNS'] ?? 2000)

async function playOnSqlite(scenario: Scenario): Promise<Counts> {
  const store = createSqliteStore({ path: ':memory:', specs })
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const books = async () => ({ account: await accounts.get(ACCOUNT), entries: await entries.list({ limit: 1000 }) })
  try {
    return await play(scenario, { clock: createFakeClock(), wire: createStoreWire(store), calm: store, books })
  } finally {
    await store.close()
  }
}

t.setTimeout(0)

t.test('whatever is lost, late, doubled or killed, the books stay in order', (t) =>
  requireProperty(t, { size: { errands: 14, steps: 500 }, runs: RUNS, limitMs: 3_600_000, play: playOnSqlite })
)
