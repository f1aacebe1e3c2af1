import { join } from 'node:path'
import t from 'tap'
import { collections } from '../../src/store/collections.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { ledgerContract } from '../contract/ledger.ts'
import { storeContract } from '../contract/store.ts'
import { contractSpecs } from '../contract/things.ts'

// Writes that are few go into the database, many into the redo log before.
for (const [name, few] of [
  ['sqlite', Infinity],
  ['sqlite with its log', 0]
] as const) {
  storeContract(t, name, async (t) => {
    const options = { path: join(t.testdir(), 'test.db'), specs: contractSpecs, few }
    let store = createSqliteStore(options)
    t.teardown(() => store.close())
    return {
      store,
      async reopen() {
        await store.close()
        store = createSqliteStore(options)
        return store
      }
    }
  })

  ledgerContract(t, name, async (t) => {
    const store = createSqliteStore({ path: join(t.testdir(), 'ledger.db'), specs: collections, few })
    t.teardown(() => store.close())
    return store
  })
}
