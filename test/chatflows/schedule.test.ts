import t from 'tap'
import { createSchedule } from '../../src/chatflows/schedule.ts'
import { createFakeClock } from '../clock.ts'

/** Lets everything that is ready run. */
const settle = () => new Promise<void>((resolve) => void setImmediate(resolve))

t.test('failures are repeated with doubling pauses, a success after the interval', async (t) => {
  const clock = createFakeClock(0)
  const startedAt: number[] = []
  const retries: number[] = []
  let failing = 3
  const schedule = createSchedule({
    clock,
    intervalMs: 10_000,
    async run() {
      startedAt.push(clock.now())
      if (failing-- > 0) throw new Error('away')
    },
    onFailure: (_error, retryMs) => retries.push(retryMs)
  })
  schedule.start()
  for (let seconds = 0; seconds < 30; seconds++) {
    await settle()
    clock.advance(1000)
  }
  t.strictSame(startedAt.slice(0, 5), [0, 1000, 3000, 7000, 17_000])
  t.strictSame(retries, [1000, 2000, 4000])
  await schedule.stop()
  t.equal(clock.nextAt(), undefined, 'no timer is left')
})

t.test('stopping waits for the round under way and starts no other', async (t) => {
  const clock = createFakeClock(0)
  const gate = Promise.withResolvers<void>()
  let rounds = 0
  const schedule = createSchedule({
    clock,
    intervalMs: 10,
    async run() {
      rounds++
      await gate.promise
    },
    onFailure: () => {}
  })
  schedule.start()
  const stopped = schedule.stop()
  gate.resolve()
  await stopped
  clock.advance(1000)
  await settle()
  t.equal(rounds, 1)
})
