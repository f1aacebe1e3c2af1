import t from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import { collections } from '../../src/store/collections.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
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
    let { store } = await connectMongo(address, { specs: contractSpecs, clock })
    t.teardown(() => store.close())
    return {
      store,
      async reopen() {
        await store.close()
        store = (await connectMongo(address, { specs: contractSpecs, clock })).store
        return store
      }
    }
  })

  ledgerContract(t, name, async (t) => {
    const { store } = await connectMongo({ url, database: freshDatabase() }, { specs: collections, clock })
    t.teardown(() => store.close())
    return store
  })
})
