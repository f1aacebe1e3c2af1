import t from 'tap'
import { createLocalBus } from '../../src/bus/local.ts'
import { createFakeClock } from '../clock.ts'

t.test('every subscriber of a channel hears a message, and one that throws harms nobody', async (t) => {
  const errors: unknown[] = []
  const bus = createLocalBus(createFakeClock(), { onError: (error) => errors.push(error) })
  const heard: string[] = []
  bus.subscribe('a', () => {
    throw new Error('broken listener')
  })
  const leave = bus.subscribe('a', (message) => heard.push(`1 ${message}`))
  bus.subscribe('a', (message) => heard.push(`2 ${message}`))
  bus.subscribe('b', (message) => heard.push(`b ${message}`))
  bus.publish('a', 'x')
  t.same(heard, [], 'the publisher goes on first')
  await bus.ping()
  t.same(heard, ['1 x', '2 x'])
  leave()
  leave()
  bus.publish('a', 'y')
  bus.publish('nobody', 'z')
  await bus.ping()
  t.same(heard, ['1 x', '2 x', '2 y'])
  t.equal(errors.length, 2)
  await bus.close()
  bus.publish('a', 'after the end')
  await bus.ping()
  t.equal(heard.length, 3)
})

t.test('a function that subscribed twice leaves once at a time', async (t) => {
  const bus = createLocalBus(createFakeClock())
  let heard = 0
  const listener = () => heard++
  const leave = bus.subscribe('a', listener)
  bus.subscribe('a', listener)
  leave()
  bus.publish('a', 'x')
  await bus.ping()
  t.equal(heard, 1)
})

t.test('a counter counts within its window and starts again after it', async (t) => {
  const clock = createFakeClock()
  const bus = createLocalBus(clock)
  t.same(await bus.count('k', 1000), { value: 1, resetMs: 1000 })
  clock.advance(400)
  t.same(await bus.count('k', 1000, 5), { value: 6, resetMs: 600 })
  t.same(await bus.count('other', 1000), { value: 1, resetMs: 1000 })
  clock.advance(600)
  t.same(await bus.count('k', 1000, 0), { value: 0, resetMs: 1000 })
})

t.test('looking at a counter begins no window and takes no room', async (t) => {
  const clock = createFakeClock()
  const bus = createLocalBus(clock, { maxEntries: 2 })
  t.strictSame(await bus.count('a', 1000, 0), { value: 0, resetMs: 1000 })
  clock.advance(900)
  t.strictSame(await bus.count('a', 1000), { value: 1, resetMs: 1000 })
  for (const key of ['b', 'c', 'd', 'e']) await bus.count(key, 1000, 0)
  t.strictSame(await bus.count('a', 1000, 0), { value: 1, resetMs: 1000 })
})

t.test('a lease belongs to one owner until it is released or runs out', async (t) => {
  const clock = createFakeClock()
  const bus = createLocalBus(clock)
  t.equal(await bus.acquire('k', 'me', 1000), true)
  t.equal(await bus.acquire('k', 'you', 1000), false)
  clock.advance(900)
  t.equal(await bus.acquire('k', 'me', 1000), true, 'renewed')
  clock.advance(900)
  t.equal(await bus.acquire('k', 'you', 1000), false)
  await bus.release('k', 'you')
  t.equal(await bus.acquire('k', 'you', 1000), false, 'only the owner releases')
  await bus.release('k', 'me')
  t.equal(await bus.acquire('k', 'you', 1000), true)
  clock.advance(1000)
  t.equal(await bus.acquire('k', 'me', 1000), true)
})

t.test('a flood of keys is bounded: the expired go first, then the soonest to expire', async (t) => {
  const clock = createFakeClock()
  const bus = createLocalBus(clock, { maxEntries: 10 })
  await bus.count('long', 100_000, 7)
  for (let i = 0; i < 9; i++) await bus.count(`short${i}`, 10)
  clock.advance(10)
  for (let i = 0; i < 200; i++) await bus.count(`flood${i}`, 1000 + i)
  t.equal((await bus.count('long', 100_000, 0)).value, 7)
  t.equal((await bus.count('flood0', 1000)).value, 1, 'forgotten')
  t.equal((await bus.count('flood199', 1000)).value, 2)
})
