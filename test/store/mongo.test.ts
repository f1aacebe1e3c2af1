import t from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import { openStore } from '../../src/store/open.ts'
import { ledgerContract } from '../contract/ledger.ts'
import { storeContract } from '../contract/store.ts'
import { contractSpecs } from '../contract/things.ts'
import { withMongo } from '../servers/mongodb.ts'

const clock = createSystemClock()
// FerretDB takes milliseconds for each write.
t.setTimeout(300_000)

void withMongo(t, 'the storage contract', async (t, { url: base, name, freshDatabase }) => {
  // Some cases ask for a thousand writes at once, and the test server takes them one by one.
  const url = `${base}?maxPoolSize=60&waitQueueTimeoutMS=60000`
  storeContract(t, name, async (t) => {
    const address = { url, database: freshDatabase() }
    const connect = async () => {
      const { store, makeIndexes } = await connectMongo(address, { specs: contractSpecs, clock })
      await makeIndexes()
      return store
    }
    let store = await connect()
    t.teardown(() => store.close())
    return {
      store,
      async reopen() {
        await store.close()
        store = await connect()
        return store
      }
    }
  })

  ledgerContract(t, name, async (t) => {
    const store = await openStore({ dataDir: '', mongodb: { url, database: freshDatabase() } }, { mode: 'serve' })
    t.teardown(() => store.close())
    return store
  })
})
