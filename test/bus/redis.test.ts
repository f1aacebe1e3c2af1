import { Redis } from 'ioredis'
import t from 'tap'
import { busContract, until } from '../contract/bus.ts'
import { withRedis } from '../servers/redis.ts'
import { openBusOn } from './redis-bus.ts'

const LONG_MS = 60_000

void withRedis(t, 'the contract of the bus', async (t, redis) => {
  busContract(t, redis.name, (t) => openBusOn(t, redis.url, redis.freshPrefix()))
})

void withRedis(t, 'processes share counters, leases and messages', async (t, redis) => {
  const [one, other, stranger] = await Promise.all([
    openBusOn(t, redis.url, redis.prefix),
    openBusOn(t, redis.url, redis.prefix),
    openBusOn(t, redis.url, redis.freshPrefix())
  ])
  await one.bus.count('k', LONG_MS, 2)
  t.equal((await other.bus.count('k', LONG_MS)).value, 3)
  t.equal((await stranger.bus.count('k', LONG_MS)).value, 1, 'another installation has its own')

  t.equal(await one.bus.acquire('k', 'me', LONG_MS), true)
  t.equal(await other.bus.acquire('k', 'you', LONG_MS), false)
  t.equal(await stranger.bus.acquire('k', 'you', LONG_MS), true)
  await other.bus.release('k', 'you')
  t.equal(await other.bus.acquire('k', 'you', LONG_MS), false)
  await one.bus.release('k', 'me')
  t.equal(await other.bus.acquire('k', 'you', LONG_MS), true)

  const heard: string[] = []
  for (const [name, { bus }] of Object.entries({ one, other, stranger }))
    bus.subscribe('news', (message) => heard.push(`${name} ${message}`))
  one.bus.publish('news', 'a')
  await until(() => heard.length === 2)
  other.bus.publish('news', 'b')
  await until(() => heard.length === 4)
  await Promise.all([one, other, stranger].map(({ bus }) => bus.ping()))
  t.same(heard.toSorted(), ['one a', 'one b', 'other a', 'other b'], 'each once, also the publisher')

  const letters: string[] = []
  for (const [name, { bus }] of Object.entries({ one, other, stranger }))
    bus.subscribe('letters', (message) => letters.push(`${name} ${message}`))
  for (let n = 0; n < 50; n++) one.bus.send(other.bus.instance, 'letters', String(n))
  await until(() => letters.length === 50)
  await Promise.all([one, other, stranger].map(({ bus }) => bus.ping()))
  t.same(
    letters,
    Array.from({ length: 50 }, (_, n) => `other ${n}`),
    'in order, and by the one they were sent to'
  )
})

void withRedis(t, 'nothing stays for ever, and what is no message harms nobody', async (t, redis) => {
  const { bus, errors } = await openBusOn(t, redis.url, redis.prefix)
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  await bus.count('counter', LONG_MS)
  await bus.acquire('lease', 'me', LONG_MS)
  await bus.acquire('lease of many', 'me', LONG_MS, 3)
  await bus.acquire('lease of many', 'you', 10, 3)
  await bus.count('looked at', LONG_MS, 0)
  // As a server would be left that lost the expiry, whatever did that.
  await client.set(`${redis.prefix}:count:endless`, '3')
  t.equal((await bus.count('endless', LONG_MS)).value, 4)
  const keys = await client.keys(`${redis.prefix}*`)
  t.equal(keys.length, 5, 'with the one of the start')
  for (const key of keys) {
    const left = await client.pttl(key)
    t.ok(left > 0 && left <= LONG_MS, `${key} ends`)
  }
  for (const text of ['no JSON', '{}', '[1,2,3]', 'null']) await client.publish(`${redis.prefix}:messages`, text)
  const heard = Promise.withResolvers<string>()
  bus.subscribe('news', heard.resolve)
  await client.publish(`${redis.prefix}:messages`, JSON.stringify(['elsewhere', 'news', 'hello']))
  t.equal(await heard.promise, 'hello')
  t.ok(errors.length >= 2)
})
