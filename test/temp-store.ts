import { join } from 'node:path'
import type { Test } from 'tap'
import { collections } from '../src/store/collections.ts'
import type { Store } from '../src/store/port.ts'
import { createSqliteStore } from '../src/store/sqlite/store.ts'

/** The real store in a folder of the test, closed when the test ends. */
export function openTempStore(t: Test): Store {
  const store = createSqliteStore({ path: join(t.testdir(), 'test.db'), specs: collections })
  t.teardown(() => store.close())
  return store
}
