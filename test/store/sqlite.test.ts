import { join } from 'node:path'
import t from 'tap'
import { collections } from '../../src/store/collections.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { ledgerContract } from '../contract/ledger.ts'
import { storeContract } from '../contract/store.ts'
import { contractSpecs } from '../contract/things.ts'

storeContract(t, 'sqlite', async (t) => {
  const options = { path: join(t.testdir(), 'test.db'), specs: contractSpecs }
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

ledgerContract(t, 'sqlite', async (t) => {
  const store = createSqliteStore({ path: join(t.testdir(), 'ledger.db'), specs: collections })
  t.teardown(() => store.close())
  return store
})
