import t from 'tap'
import { createSweeper } from '../../src/credits/sweeper.ts'
import { createFakeClock } from '../clock.ts'

/** A ledger whose sweeps the test lets go one by one. */
function openSweeps() {
  const waiting: PromiseWithResolvers<number>[] = []
  const ledger = {
    expireDue() {
      const sweep = Promise.withResolvers<number>()
      waiting.push(sweep)
      return sweep.promise
    }
  }
  return { ledger, waiting }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

t.test('it sweeps at its interval and never two sweeps at once', async (t) => {
  const clock = createFakeClock()
  const { ledger, waiting } = openSweeps()
  const sweeper = createSweeper({ ledger, clock, everyMs: 1000, onError: (error) => t.fail(String(error)) })
  sweeper.start()
  sweeper.start()
  clock.advance(999)
  t.equal(waiting.length, 0)
  clock.advance(1)
  t.equal(waiting.length, 1)
  clock.advance(10_000)
  const joined = sweeper.runOnce()
  t.equal(waiting.length, 1)
  waiting[0]?.resolve(3)
  t.equal(await joined, 3)
  await turn()
  clock.advance(1000)
  t.equal(waiting.length, 2)
  waiting[1]?.resolve(0)
  await sweeper.stop()
})

t.test('a sweep that fails is reported, and the next one comes', async (t) => {
  const clock = createFakeClock()
  const { ledger, waiting } = openSweeps()
  const errors: unknown[] = []
  const sweeper = createSweeper({ ledger, clock, everyMs: 1000, onError: (error) => errors.push(error) })
  sweeper.start()
  clock.advance(1000)
  waiting[0]?.reject(new Error('down'))
  await turn()
  t.match(errors, [{ message: 'down' }])
  clock.advance(1000)
  t.equal(waiting.length, 2)
  waiting[1]?.resolve(0)
  await sweeper.stop()
})

t.test('stopping waits for the sweep under way, and none follows', async (t) => {
  const clock = createFakeClock()
  const { ledger, waiting } = openSweeps()
  const sweeper = createSweeper({ ledger, clock, everyMs: 1000, onError: (error) => t.fail(String(error)) })
  sweeper.start()
  clock.advance(1000)
  let isStopped = false
  const stopped = sweeper.stop().then(() => {
    isStopped = true
  })
  await turn()
  t.equal(isStopped, false)
  waiting[0]?.resolve(0)
  await stopped
  await turn()
  clock.advance(10_000)
  t.equal(waiting.length, 1)
  t.equal(clock.nextAt(), undefined)
})
