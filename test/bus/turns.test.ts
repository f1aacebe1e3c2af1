import t from 'tap'
import { createLocalBus } from '../../src/bus/local.ts'
import { createTurns } from '../../src/bus/turns.ts'
import { createFakeClock } from '../clock.ts'

const INTERVAL_MS = 1000

function setUp() {
  const clock = createFakeClock()
  const bus = createLocalBus(clock)
  return { clock, one: createTurns(bus, 'one'), other: createTurns(bus, 'other') }
}

t.test('one process does the work of an interval, and goes on with it', async (t) => {
  const { clock, one, other } = setUp()
  t.equal(await one('sweep', INTERVAL_MS, async () => 1), 1)
  t.equal(await other('sweep', INTERVAL_MS, async () => 2), undefined)
  t.equal(await other('purge', INTERVAL_MS, async () => 3), 3, 'each work has its own turns')
  clock.advance(INTERVAL_MS)
  t.equal(await one('sweep', INTERVAL_MS, async () => 4), 4)
})

t.test('another one takes over within an interval', async (t) => {
  const { clock, one, other } = setUp()
  await one('sweep', INTERVAL_MS, async () => 1)
  clock.advance(INTERVAL_MS - 1)
  t.equal(await other('sweep', INTERVAL_MS, async () => 2), undefined)
  clock.advance(1)
  t.equal(await other('sweep', INTERVAL_MS, async () => 3), 3)
})

t.test('work that fails is left to whoever comes next', async (t) => {
  const { one, other } = setUp()
  const fault = new Error('the store is away')
  await t.rejects(
    one('sweep', INTERVAL_MS, () => Promise.reject(fault)),
    fault
  )
  t.equal(await other('sweep', INTERVAL_MS, async () => 2), 2)
})
