import t from 'tap'
import { createLocalBus } from '../../src/bus/local.ts'
import { createSystemClock } from '../../src/clock.ts'
import { createFakeClock } from '../clock.ts'
import { busContract } from '../contract/bus.ts'

busContract(t, 'local', async (t) => {
  const errors: unknown[] = []
  const bus = createLocalBus(createSystemClock(), { onError: (error) => errors.push(error) })
  t.teardown(() => bus.close())
  return { bus, errors }
})

t.test('windows and leases end by the clock that was given, to the millisecond', async (t) => {
  const clock = createFakeClock()
  const bus = createLocalBus(clock)
  t.same(await bus.count('k', 1000), { value: 1, resetMs: 1000 })
  t.equal(await bus.acquire('k', 'me', 1000), true)
  clock.advance(999)
  t.same(await bus.count('k', 1000, 5), { value: 6, resetMs: 1 })
  t.equal(await bus.acquire('k', 'you', 1000), false)
  clock.advance(1)
  t.same(await bus.count('k', 1000, 0), { value: 0, resetMs: 1000 })
  t.equal(await bus.acquire('k', 'you', 1000), true)
})

t.test('looking at a counter takes no room', async (t) => {
  const clock = createFakeClock()
  const bus = createLocalBus(clock, { maxEntries: 2 })
  t.strictSame(await bus.count('a', 1000), { value: 1, resetMs: 1000 })
  for (const key of ['b', 'c', 'd', 'e']) await bus.count(key, 1000, 0)
  t.strictSame(await bus.count('a', 1000, 0), { value: 1, resetMs: 1000 })
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
