import t, { type Test } from 'tap'
import type { CollectionSpec, Document, Store } from '../../src/store/port.ts'
import { rememberRows } from '../../src/store/recent.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock } from '../clock.ts'

interface Row extends Document {
  n: number
}

const specs: CollectionSpec[] = [{ name: 'users' }]
const LIFE_MS = 1_000
const LONG_LIFE_MS = 60_000
/** So long those who come later wait for a look that others have begun. */
const SHARE_MS = 50

/** A process, and the store as others write to it, of which no message tells; `reads` and `looks` count what reaches the store. */
async function setUp(t: Test) {
  const clock = createFakeClock()
  const real = createSqliteStore({ path: ':memory:', specs })
  t.teardown(() => real.close())
  const elsewhere = real.collection<Row>('users')
  await elsewhere.insert({ id: 'a', n: 1 })
  const world = { reads: 0, looks: 0, count: 0, onItsWay: async () => {} }
  const store: Store = {
    ...real,
    marks: {
      async look() {
        world.looks++
        const { count } = world
        await world.onItsWay()
        return () => count
      }
    },
    collection<D extends Document>(name: string) {
      const rows = real.collection<D>(name)
      async function get(id: string) {
        world.reads++
        const row = await rows.get(id)
        await world.onItsWay()
        return row
      }
      return { ...rows, get }
    }
  }
  const bus = {
    publish() {},
    subscribe: () => () => {},
    watch: (tell: (state: { isUp: true }) => void) => tell({ isUp: true })
  }
  const users = rememberRows(store, { clock, bus }).collection<Row>('users')
  /** Lets what was asked be answered when it is told to. */
  function hold(): () => void {
    const gate = Promise.withResolvers<void>()
    world.onItsWay = () => gate.promise
    return () => {
      world.onItsWay = async () => {}
      gate.resolve()
    }
  }
  /** A change by another process. */
  async function change(): Promise<void> {
    await elsewhere.update('a', {}, { inc: { n: 1 } })
    world.count++
  }
  /** The first read is overtaken by no look, the second is kept with its count. */
  async function becomeKnown(): Promise<void> {
    await users.recent('a')
    await turn()
    clock.advance(LIFE_MS)
    await users.recent('a')
    await turn()
    clock.advance(LIFE_MS)
    Object.assign(world, { reads: 0, looks: 0 })
  }
  return { clock, world, users, elsewhere, hold, change, becomeKnown }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('one look says that a row need not be read', async (t) => {
  const { clock, world, users, change, becomeKnown } = await setUp(t)
  await becomeKnown()
  for (let visit = 1; visit <= 3; visit++) {
    t.equal((await users.recent('a'))?.n, 1)
    t.match(world, { reads: 0, looks: visit })
    clock.advance(LIFE_MS)
  }
  await change()
  t.equal((await users.recent('a'))?.n, 2)
  t.match(world, { reads: 1, looks: 4 })
})

t.test('with requests all the time nobody waits for a look', async (t) => {
  const { clock, world, users, hold, becomeKnown } = await setUp(t)
  await becomeKnown()
  await users.recent('a')
  for (let visit = 0; visit < 5; visit++) {
    clock.advance(LIFE_MS - 1)
    const answer = hold()
    t.equal((await users.recent('a'))?.n, 1)
    answer()
    await turn()
  }
  t.match(world, { reads: 0, looks: 6 })
})

t.test('a write here while somebody waits for a look counts', async (t) => {
  const { users, hold, becomeKnown } = await setUp(t)
  await becomeKnown()
  const answer = hold()
  const reading = users.recent('a')
  await users.update('a', {}, { set: { n: 7 } })
  answer()
  t.equal((await reading)?.n, 7)
})

t.test('a look that was answered while a row was read says nothing of it', async (t) => {
  const { clock, world, users, hold, change } = await setUp(t)
  await users.recent('b')
  const answer = hold()
  const reading = users.recent('a')
  await turn()
  world.onItsWay = async () => {}
  await change()
  clock.advance(LIFE_MS / 2)
  await users.recent('b')
  await turn()
  t.equal(world.looks, 2)
  answer()
  t.equal((await reading)?.n, 1)
  await turn()
  for (let visit = 0; visit < 3; visit++) {
    clock.advance(LIFE_MS)
    t.equal((await users.recent('a'))?.n, 2)
  }
})

t.test('a look is as old as its beginning', async (t) => {
  const { clock, users, hold, change, becomeKnown } = await setUp(t)
  await becomeKnown()
  const answer = hold()
  const reading = users.recent('a')
  await change()
  clock.advance(LIFE_MS - 1)
  answer()
  t.equal((await reading)?.n, 1)
  clock.advance(1)
  t.equal((await users.recent('a'))?.n, 2)
})

t.test('what is not there is read, and after a minute everything', async (t) => {
  const { clock, world, users, elsewhere, becomeKnown } = await setUp(t)
  await becomeKnown()
  for (let second = 0; second < LONG_LIFE_MS; second += LIFE_MS) {
    await users.recent('a')
    clock.advance(LIFE_MS)
  }
  t.equal(world.reads, 1)
  for (let visit = 0; visit < 3; visit++) {
    t.equal(await users.recent('b'), undefined)
    await turn()
    clock.advance(LIFE_MS)
  }
  await elsewhere.insert({ id: 'b', n: 1 })
  t.equal((await users.recent('b'))?.n, 1)
})

t.test('of those who wait for a look that does not come, most read', async (t) => {
  const { clock, world, users, hold, becomeKnown } = await setUp(t)
  await becomeKnown()
  const answer = hold()
  const waiting = [users.recent('a'), users.recent('a')]
  await turn()
  t.match(world, { reads: 0, looks: 1 })
  clock.advance(SHARE_MS)
  waiting.push(users.recent('a'), users.recent('a'))
  await turn()
  t.match(world, { reads: 2, looks: 1 })
  answer()
  t.equal((await Promise.all(waiting)).length, 4)
})

t.test('a look that fails is as none', async (t) => {
  const { world, users, becomeKnown } = await setUp(t)
  await becomeKnown()
  world.onItsWay = async () => {
    if (world.reads === 0) throw new Error('away')
  }
  t.equal((await users.recent('a'))?.n, 1)
  t.match(world, { reads: 1, looks: 1 })
})
