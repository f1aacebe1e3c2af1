import t from 'tap'
import { installationId } from '../../src/bus/installation.ts'
import { openBus } from '../../src/bus/open.ts'
import { createSystemClock } from '../../src/clock.ts'
import { createIds } from '../../src/ids.ts'
import { withRedis } from '../servers/redis.ts'
import { openTempStore } from '../temp-store.ts'

const LONG_MS = 60_000

t.test('processes that start at once agree on the id of their installation', async (t) => {
  const store = openTempStore(t)
  const found = await Promise.all(Array.from({ length: 10 }, () => installationId(store, createIds())))
  t.equal(new Set(found).size, 1)
  t.equal(await installationId(store, createIds()), found[0])
  t.not(await installationId(openTempStore(t), createIds()), found[0])
})

void withRedis(t, 'what is shared is shared by the processes of one store', async (t, redis) => {
  const store = openTempStore(t)
  const open = async (redisUrl: string | undefined, of = store) => {
    const bus = await openBus({ redisUrl, store: of, clock: createSystemClock(), ids: createIds() })
    t.teardown(() => bus.close())
    return bus
  }
  const one = await open(redis.url)
  const other = await open(redis.url)
  const stranger = await open(redis.url, openTempStore(t))
  const alone = await open(undefined)
  t.equal(await one.acquire('k', 'me', LONG_MS), true)
  t.equal(await other.acquire('k', 'you', LONG_MS), false)
  t.equal(await stranger.acquire('k', 'you', LONG_MS), true)
  t.equal(await alone.acquire('k', 'you', LONG_MS), true)
})
