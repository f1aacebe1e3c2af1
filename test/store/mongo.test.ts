import t from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import { clockDifferenceMs } from '../../src/store/mongo/clock-difference.ts'
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

void withMongo(t, 'a pool without a limit of its own', async (t, { url, freshDatabase }) => {
  const address = { url: `${url}?maxPoolSize=0`, database: freshDatabase() }
  const { store } = await connectMongo(address, { specs: [{ name: 'meta' }], clock })
  t.teardown(() => store.close())
  t.equal(await store.collection('meta').insert({ id: 'a' }), true)
  t.same(await store.collection('meta').get('a'), { id: 'a' })
})

void withMongo(
  t,
  'acknowledged means on the disk, whatever the URL says about members',
  async (t, { url, freshDatabase }) => {
    const concern = async (query: string) => {
      const address = { url: `${url}${query}`, database: freshDatabase() }
      const { client, store } = await connectMongo(address, { specs: [], clock })
      await store.close()
      const { w, journal } = client.options.writeConcern ?? {}
      return { w, journal }
    }
    t.same(await concern(''), { w: 'majority', journal: true })
    t.same(await concern('?w=1'), { w: 1, journal: true })
    t.same(await concern('?retryWrites=true&w=majority'), { w: 'majority', journal: true })
    t.same(await concern('?journal=false'), { w: 'majority', journal: false }, 'said so: it wins')
  }
)

void withMongo(t, 'a clock that differs from the server is noticed', async (t, { url, freshDatabase }) => {
  const address = { url, database: freshDatabase() }
  const connection = await connectMongo(address, { specs: [], clock })
  t.teardown(() => connection.store.close())
  const differenceFor = (aheadMs: number) =>
    clockDifferenceMs({ ...connection, ...address }, { ...clock, now: () => clock.now() + aheadMs })
  t.ok(Math.abs(await differenceFor(0)) < 5000)
  const behind = await differenceFor(90_000)
  t.ok(behind < -80_000 && behind >= -91_000, `${behind}`)
  const ahead = await differenceFor(-90_000)
  t.ok(ahead > 80_000 && ahead <= 91_000, `${ahead}`)
})
