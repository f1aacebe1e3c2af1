import t from 'tap'
import { createLifecycle } from '../src/lifecycle.ts'
import { createFakeClock } from './clock.ts'

const DRAIN_MS = 30_000

function setUp() {
  const clock = createFakeClock()
  const failures: { name: string; error: unknown }[] = []
  const lifecycle = createLifecycle({
    clock,
    drainMs: DRAIN_MS,
    onError: (name, error) => failures.push({ name, error })
  })
  return { clock, lifecycle, failures }
}

/** Lets every promise that is due run its continuations. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

t.test('a drain waits for the running predictions and for tracked work', async (t) => {
  const { lifecycle } = setUp()
  const run = Promise.withResolvers<void>()
  const write = Promise.withResolvers<void>()
  lifecycle.run(run.promise)
  const kept = lifecycle.track(write.promise)
  let isDrained = false
  t.notOk(lifecycle.isDraining)
  const drained = lifecycle.beginDrain().then(() => {
    isDrained = true
  })
  t.ok(lifecycle.isDraining)
  await settle()
  t.notOk(lifecycle.drainSignal.aborted, 'the run has its grace time')
  run.resolve()
  await settle()
  t.ok(lifecycle.drainSignal.aborted, 'nothing is running: the grace time is over early')
  t.notOk(isDrained, 'tracked work is waited for')
  write.resolve()
  await drained
  await kept
})

t.test('a prediction that outlives the grace time is aborted', async (t) => {
  const { clock, lifecycle } = setUp()
  const run = Promise.withResolvers<void>()
  lifecycle.drainSignal.addEventListener('abort', () => run.resolve())
  lifecycle.run(run.promise)
  const drained = lifecycle.beginDrain()
  clock.advance(DRAIN_MS - 1)
  await settle()
  t.notOk(lifecycle.drainSignal.aborted)
  clock.advance(1)
  await drained
  t.ok(lifecycle.drainSignal.aborted)
})

t.test('work that never ends does not keep the shutdown forever', async (t) => {
  const { clock, lifecycle } = setUp()
  lifecycle.run(new Promise(() => {}))
  const drained = lifecycle.beginDrain()
  clock.advance(DRAIN_MS)
  await settle()
  clock.advance(60_000)
  await drained
  t.pass('drained')
})

t.test('a second drain is the first one', async (t) => {
  const { lifecycle } = setUp()
  t.equal(lifecycle.beginDrain(), lifecycle.beginDrain())
  await lifecycle.beginDrain()
})

t.test('closing aborts at once and waits for what that ends', async (t) => {
  const { lifecycle } = setUp()
  const run = Promise.withResolvers<void>()
  lifecycle.drainSignal.addEventListener('abort', () => setImmediate(run.resolve))
  lifecycle.run(run.promise)
  await lifecycle.close()
  t.ok(lifecycle.isDraining)
  await run.promise
})

t.test('the failure of tracked work is reported and reaches who awaits it', async (t) => {
  const { lifecycle, failures } = setUp()
  const fault = new Error('disk full')
  await t.rejects(lifecycle.track(Promise.reject(fault)), fault)
  await settle()
  t.strictSame(failures, [{ name: 'background work', error: fault }])
  lifecycle.run(Promise.reject(fault))
  await lifecycle.beginDrain()
  t.equal(failures.length, 2)
})

t.test('a repeating job never overlaps itself', async (t) => {
  const { clock, lifecycle } = setUp()
  const rounds: PromiseWithResolvers<void>[] = []
  lifecycle.every(1000, 'sync', () => {
    const round = Promise.withResolvers<void>()
    rounds.push(round)
    return round.promise
  })
  t.equal(rounds.length, 0, 'the first round comes after one interval')
  clock.advance(1000)
  await settle()
  clock.advance(5000)
  await settle()
  t.equal(rounds.length, 1)
  rounds[0]?.resolve()
  await settle()
  clock.advance(1000)
  await settle()
  t.equal(rounds.length, 2)
  rounds[1]?.resolve()
})

t.test('a repeating job survives its errors, and ends at close', async (t) => {
  const { clock, lifecycle, failures } = setUp()
  let count = 0
  lifecycle.every(1000, 'sweep', async () => {
    count++
    throw new Error('store is away')
  })
  for (let round = 0; round < 3; round++) {
    clock.advance(1000)
    await settle()
  }
  t.equal(count, 3)
  t.strictSame(
    failures.map(({ name }) => name),
    ['sweep', 'sweep', 'sweep']
  )
  await lifecycle.close()
  clock.advance(10_000)
  await settle()
  t.equal(count, 3)
})

t.test('a job that is under way at close is waited for, and not repeated', async (t) => {
  const { clock, lifecycle } = setUp()
  const round = Promise.withResolvers<void>()
  let count = 0
  lifecycle.every(1000, 'sync', () => {
    count++
    return round.promise
  })
  clock.advance(1000)
  await settle()
  let isClosed = false
  const closed = lifecycle.close().then(() => {
    isClosed = true
  })
  await settle()
  t.notOk(isClosed)
  round.resolve()
  await closed
  clock.advance(10_000)
  await settle()
  t.equal(count, 1)
})
