import t from 'tap'
import { createReadiness } from '../src/readiness.ts'
import { createFakeClock } from './clock.ts'

const settle = () => new Promise((resolve) => setImmediate(resolve))

t.test('each dependency is ok or down by itself', async (t) => {
  const readiness = createReadiness({
    clock: createFakeClock(),
    probes: { store: async () => {}, flowise: () => Promise.reject(new Error('connection refused')) }
  })
  t.strictSame(await readiness(), { store: 'ok', flowise: 'down' })
})

t.test('a dependency that is silent is down after the timeout', async (t) => {
  const clock = createFakeClock()
  const readiness = createReadiness({ clock, timeoutMs: 2000, probes: { store: () => new Promise(() => {}) } })
  const answer = readiness()
  await settle()
  clock.advance(2000)
  t.strictSame(await answer, { store: 'down' })
})

t.test('askers within a second share one answer, later ones get a new one', async (t) => {
  const clock = createFakeClock()
  let count = 0
  const readiness = createReadiness({
    clock,
    probes: {
      store: async () => {
        count++
      }
    }
  })
  await Promise.all([readiness(), readiness(), readiness()])
  clock.advance(999)
  await readiness()
  t.equal(count, 1)
  clock.advance(1)
  await readiness()
  t.equal(count, 2)
})
