import { join } from 'node:path'
import t from 'tap'
import { createSqliteStore } from '../../src/store/sqlite.ts'
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
