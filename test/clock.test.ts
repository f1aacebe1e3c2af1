import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createSystemClock, isoInstant } from '../src/clock.ts'

t.test('a timer of a year does not fire at once', async (t) => {
  const clock = createSystemClock()
  let isFired = false
  const cancel = clock.after(365 * 86_400_000, () => {
    isFired = true
  })
  await setTimeout(10)
  t.notOk(isFired)
  cancel()
})

t.test('instants are ISO 8601 in UTC with milliseconds', async (t) => {
  t.equal(isoInstant(0), '1970-01-01T00:00:00.000Z')
})
