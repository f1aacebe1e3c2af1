import t from 'tap'
import { createSweeper } from '../../src/credits/sweeper.ts'
import { createFakeClock } from '../clock.ts'

/** A ledger whose sweeps the test lets go one by one. */
function openSweeps() {
  const waiting: PromiseWithResolvers<number | undefined>[] = []
  const dueAts: number[] = []
  const expireDue = (dueAt: number) => {
    const sweep = Promise.withResolvers<number | undefined>()
    waiting.push(sweep)
    dueAts.push(dueAt)
    return sweep.promise
  }
  return { expireDue, waiting, dueAts }
}

const every = { everyMs: 1000, graceMs: 3000 }

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

t.test('it sweeps at its interval and never two sweeps at once', async (t) => {
  const clock = createFakeClock()
  const { expireDue, waiting } = openSweeps()
  const sweeper = createSweeper({ expireDue, clock, ...every, onError: (error) => t.fail(String(error)) })
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
  const { expireDue, waiting } = openSweeps()
  const errors: unknown[] = []
  const sweeper = createSweeper({ expireDue, clock, ...every, onError: (error) => errors.push(error) })
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
  const { expireDue, waiting } = openSweeps()
  const sweeper = createSweeper({ expireDue, clock, ...every, onError: (error) => t.fail(String(error)) })
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

t.test('what ran out while the store was away is ended only when its process has had time to renew it', async (t) => {
  const clock = createFakeClock()
  const { expireDue, waiting, dueAts } = openSweeps()
  const sweeper = createSweeper({ expireDue, clock, ...every, onError: () => undefined })
  const begunAt = clock.now()
  sweeper.start()
  const outcomes: ('sound' | 'away' | 'elsewhere')[] = ['sound', 'away', 'away', 'elsewhere', 'sound']
  for (const [number, outcome] of [...outcomes, ...Array.from({ length: 4 }, () => 'sound' as const)].entries()) {
    clock.advance(1000)
    if (outcome === 'away') waiting[number]?.reject(new Error('away'))
    else waiting[number]?.resolve(outcome === 'sound' ? 0 : undefined)
    await turn()
  }
  t.same(
    dueAts.map((dueAt) => dueAt - begunAt),
    [1000, 2000, 1000, 1000, 1000, 1000, 1000, 8000, 9000],
    'back at 5000, trusted from 8000'
  )
  await sweeper.stop()
})

t.test('a renewal that failed is a doubt like a sweep that failed', async (t) => {
  const clock = createFakeClock()
  const { expireDue, waiting, dueAts } = openSweeps()
  const sweeper = createSweeper({ expireDue, clock, ...every, onError: () => undefined })
  const begunAt = clock.now()
  sweeper.start()
  sweeper.doubt()
  for (let number = 0; number < 5; number++) {
    clock.advance(1000)
    waiting[number]?.resolve(0)
    await turn()
  }
  t.same(
    dueAts.map((dueAt) => dueAt - begunAt),
    [0, 0, 0, 4000, 5000]
  )
  await sweeper.stop()
})
