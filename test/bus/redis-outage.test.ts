import { Redis } from 'ioredis'
import t from 'tap'
import type { Bus } from '../../src/bus/port.ts'
import { until } from '../contract/bus.ts'
import { withRedis } from '../servers/redis.ts'
import { openBusOn } from './redis-bus.ts'

const LONG_MS = 60_000
const control = { control: true }

/** One of each that may have to wait for Redis; answers how long all of them took. */
async function useAll(bus: Bus, key: string): Promise<number> {
  const startedAt = performance.now()
  await bus.count(key, LONG_MS)
  await bus.acquire(key, 'me', LONG_MS)
  await bus.release(key, 'me')
  bus.publish(key, 'message')
  return performance.now() - startedAt
}

const isReachable = (bus: Bus) =>
  bus.ping().then(
    () => true,
    () => false
  )

void withRedis(
  t,
  'killed and started again empty: each process goes on by itself, then all together',
  async (t, redis) => {
    const one = await openBusOn(t, redis.url, redis.prefix)
    const other = await openBusOn(t, redis.url, redis.prefix)
    const heard: string[] = []
    other.bus.subscribe('news', (message) => heard.push(message))
    await one.bus.count('k', LONG_MS, 2)
    await other.bus.count('k', LONG_MS, 2)
    await one.bus.acquire('held before', 'me', LONG_MS)
    await other.bus.acquire('given back meanwhile', 'you', LONG_MS)

    await redis.stop()
    await Promise.all([one.when(false), other.when(false)])
    await t.rejects(one.bus.ping())
    t.ok((await useAll(one.bus, 'quick')) < 900, 'nobody waits for a Redis that is known to be away')
    t.equal((await other.bus.count('k', LONG_MS)).value, 5, 'from where it stood')
    t.equal((await one.bus.count('k', LONG_MS)).value, 3, 'as far as this process was told')
    t.equal(await one.bus.acquire('held before', 'another run', LONG_MS), false, 'what it holds, it holds')
    t.equal(await one.bus.acquire('taken meanwhile', 'me', LONG_MS), true)
    t.equal(await one.bus.acquire('places', 'a', LONG_MS, 2), true)
    await other.bus.release('given back meanwhile', 'you')

    await redis.restart()
    await Promise.all([one.when(true), other.when(true)])
    await until(() => isReachable(one.bus))
    for (const key of ['held before', 'taken meanwhile'])
      t.equal(await other.bus.acquire(key, 'you', LONG_MS), false, `${key}: no renewal was needed`)
    t.equal(await other.bus.acquire('places', 'b', LONG_MS, 2), true)
    t.equal(await other.bus.acquire('places', 'c', LONG_MS, 2), false)
    t.equal(await one.bus.acquire('given back meanwhile', 'me', LONG_MS), true)
    await until(() => {
      one.bus.publish('news', 'again')
      return heard.length > 0
    })
    t.same(
      one.states.map(({ isUp }) => isUp),
      [true, false, true],
      'one outage is told once'
    )
    t.same([...one.errors, ...other.errors], [])
  },
  control
)

void withRedis(
  t,
  'a Redis that hangs costs one second once, and what was released meanwhile is free afterwards',
  async (t, redis) => {
    const one = await openBusOn(t, redis.url, redis.prefix)
    const other = await openBusOn(t, redis.url, redis.prefix)
    await one.bus.acquire('k', 'me', LONG_MS)
    redis.pause()
    const startedAt = performance.now()
    // More than may be under way at once: nobody waits for the second batch of a server that did not answer the first.
    await Promise.all(Array.from({ length: 2000 }, (_, i) => useAll(one.bus, `first ${i}`)))
    const waited = performance.now() - startedAt
    t.ok(waited < 5000, `${Math.round(waited)} ms`)
    await one.when(false)
    t.ok((await useAll(one.bus, 'next')) < 900)
    await one.bus.release('k', 'me')
    redis.resume()
    await Promise.all([one.when(true), other.when(true)])
    t.equal(await other.bus.acquire('k', 'you', LONG_MS), true)
  },
  control
)

void withRedis(
  t,
  'a Redis that answers but takes no writes is away too',
  async (t, redis) => {
    const { bus, states, when } = await openBusOn(t, redis.url, redis.prefix)
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    await client.config('SET', 'maxmemory', '1')
    t.equal((await bus.count('k', LONG_MS)).value, 1)
    t.equal(await bus.acquire('k', 'me', LONG_MS), true)
    await when(false)
    await t.rejects(bus.ping())
    t.match(states.at(-1)?.reason, /^OOM /)
    await client.config('SET', 'maxmemory', '0')
    await when(true)
    const other = await openBusOn(t, redis.url, redis.prefix)
    t.equal(await other.bus.acquire('k', 'you', LONG_MS), false)
  },
  control
)

void withRedis(
  t,
  'a password that is changed is an outage that does not tell the old one',
  async (t, redis) => {
    const { states, when, bus } = await openBusOn(t, redis.url, redis.prefix)
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    await client.config('SET', 'requirepass', 'another one')
    const ended = when(false)
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await ended
    await t.rejects(bus.ping())
    await client.config('SET', 'requirepass', 'the secret')
    await when(true)
    t.notMatch(JSON.stringify(states), 'the secret')
  },
  { ...control, settings: { requirepass: 'the secret' } }
)

void withRedis(
  t,
  'a lease that Redis has forgotten is taken again by its renewal, unless somebody was faster',
  async (t, redis) => {
    const one = await openBusOn(t, redis.url, redis.prefix)
    const other = await openBusOn(t, redis.url, redis.prefix)
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    await one.bus.acquire('mine', 'me', LONG_MS)
    await one.bus.acquire('lost', 'me', LONG_MS)
    await client.flushall()
    t.equal(await one.bus.acquire('mine', 'my next run', LONG_MS), false, 'this process remembers')
    t.equal(await other.bus.acquire('lost', 'you', LONG_MS), true)
    t.equal(await one.bus.acquire('mine', 'me', LONG_MS), true)
    t.equal(await one.bus.acquire('lost', 'me', LONG_MS), false)
    t.equal(await other.bus.acquire('mine', 'you', LONG_MS), false)
    await other.bus.release('lost', 'you')
    t.equal(await one.bus.acquire('lost', 'me', LONG_MS), true)
  },
  control
)
