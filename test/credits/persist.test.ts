import t from 'tap'
import { persist } from '../../src/credits/persist.ts'
import { AppError } from '../../src/errors.ts'
import { createFakeClock } from '../clock.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const outage = () => Promise.reject(new AppError('store_unavailable'))

t.test('an answer ends it at the first try', async (t) => {
  const repeated: boolean[] = []
  const done = await persist(createFakeClock(), async (isRepeated) => {
    repeated.push(isRepeated)
    return 'done'
  })
  t.equal(done, 'done')
  t.same(repeated, [false])
})

t.test('after outages it pauses longer each time, and then says so', async (t) => {
  const clock = createFakeClock()
  const at: number[] = []
  const start = clock.now()
  const given = persist(clock, () => {
    at.push(clock.now() - start)
    return outage()
  })
  const refused = t.rejects(given, { code: 'store_unavailable' })
  for (const pauseMs of [0, 50, 200]) {
    await turn()
    clock.advance(pauseMs)
  }
  await refused
  t.same(at, [0, 0, 50, 250])
})

t.test('an outage in between is survived, other errors are not', async (t) => {
  let tries = 0
  const step = async () => (++tries === 1 ? outage() : tries)
  t.equal(await persist(createFakeClock(), step), 2)
  await t.rejects(
    persist(createFakeClock(), () => Promise.reject(new AppError('account_frozen'))),
    { code: 'account_frozen' }
  )
})

t.test('a step that never gets its turn is given up', async (t) => {
  let tries = 0
  const step = async () => {
    tries++
    return undefined
  }
  await t.rejects(persist(createFakeClock(), step), { code: 'store_unavailable' })
  t.equal(tries, 100)
})
