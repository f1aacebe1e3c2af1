import { join } from 'node:path'
import type { Test } from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import { createIds } from '../../src/ids.ts'
import { collections } from '../../src/store/collections.ts'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock } from '../clock.ts'

/** A real store in a directory of the test's own. */
export function openTestStore(t: Test): Store {
  const store = createSqliteStore({ path: join(t.testdir(), 'test.db'), specs: collections })
  t.teardown(() => store.close())
  return store
}

/** A ledger over it with a clock that stands still, and the run of account `a` that tests begin with. */
export function openTestLedger(t: Test, { maxHolds = 10 }: { maxHolds?: number } = {}) {
  const store = openTestStore(t)
  const clock = createFakeClock()
  const ids = createIds()
  const ledger = createLedger({ store, clock, ids, maxHolds })
  const run = () => ({ rid: ids.run(), accountId: 'a', chatflowId: 'f' })
  return { store, clock, ids, ledger, run }
}
