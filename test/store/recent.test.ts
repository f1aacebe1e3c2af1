import t, { type Test } from 'tap'
import { createLocalBus } from '../../src/bus/local.ts'
import type { BusState } from '../../src/bus/port.ts'
import type { CollectionSpec, Document, Store } from '../../src/store/port.ts'
import { rememberRows } from '../../src/store/recent.ts'
import { collections } from '../../src/store/collections.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock } from '../clock.ts'

interface Row extends Document {
  n?: number
  list?: number[]
}

const specs: CollectionSpec[] = [
  { name: 'users', unique: [['name']] },
  { name: 'token_families' },
  { name: 'refresh_tokens', appendedFrom: ['token_families'] },
  { name: 'sessions' }
]
/** Longer than a row is kept whose change nobody tells. */
const LIFE_MS = 1_000

/** Two processes over one store and a bus that can go away; `reads` counts what reaches the store. */
function setUp(t: Test) {
  const clock = createFakeClock()
  const real = createSqliteStore({ path: ':memory:', specs })
  t.teardown(() => real.close())
  const bus = createLocalBus(clock)
  const watchers = new Set<(state: BusState) => void>()
  const world = { reads: 0, pauseReads: Promise.resolve(), isLossy: false }
  const counted: Store = {
    ...real,
    collection<D extends Document>(name: string) {
      const rows = real.collection<D>(name)
      return {
        ...rows,
        async get(id: string) {
          world.reads++
          const row = await rows.get(id)
          await world.pauseReads
          return row
        }
      }
    }
  }
  const start = () =>
    rememberRows(counted, {
      clock,
      bus: {
        publish: (channel, message) => void (world.isLossy || bus.publish(channel, message)),
        subscribe: bus.subscribe,
        watch(listener) {
          watchers.add(listener)
          listener({ isUp: true })
        }
      }
    })
  const setUp = (isUp: boolean) => watchers.forEach((watcher) => watcher({ isUp }))
  return { clock, world, here: start(), there: start(), setUp }
}

/** Messages of the bus come in a later turn. */
const heard = () => new Promise((resolve) => setImmediate(resolve))

t.test('what was read a moment ago is not read again, nor what is not there', async (t) => {
  const { world, clock, here, there } = setUp(t)
  const users = here.collection<Row>('users')
  await users.insert({ id: 'a', n: 1, list: [1] })
  const all = await Promise.all([users.recent('a'), users.recent('b')])
  t.same(all, [{ id: 'a', n: 1, list: [1] }, undefined])
  t.equal(world.reads, 2)
  t.throws(() => all[0]?.list?.push(2), 'what is shared nobody changes')
  t.same(await Promise.all([users.recent('a'), users.recent('b')]), [{ id: 'a', n: 1, list: [1] }, undefined])
  t.equal(world.reads, 2)
  clock.advance(LIFE_MS)
  await users.recent('a')
  t.equal(world.reads, 3)
  await users.get('a')
  t.equal(world.reads, 4, 'get reads')
  world.isLossy = true
  const sessions = here.collection<Row>('sessions')
  t.equal(await sessions.recent('s'), undefined)
  await there.collection<Row>('sessions').insert({ id: 's' })
  t.same(await sessions.recent('s'), { id: 's' }, 'other collections are not remembered')
})

t.test('every kind of write shows at once where it was made, and elsewhere when it was heard of', async (t) => {
  const { here, there } = setUp(t)
  const [users, others] = [here.collection<Row>('users'), there.collection<Row>('users')]
  const writes: [write: () => Promise<unknown>, n: number | undefined][] = [
    [() => users.insert({ id: 'a/b', n: 1 }), 1],
    [() => users.update('a/b', {}, { inc: { n: 1 } }), 2],
    [() => users.updated('a/b', {}, { inc: { n: 1 } }), 3],
    [() => users.remove('a/b'), undefined]
  ]
  for (const [write, n] of writes) {
    await Promise.all([users.recent('a/b'), others.recent('a/b')])
    await write()
    t.equal((await users.recent('a/b'))?.n, n)
    await heard()
    t.equal((await others.recent('a/b'))?.n, n)
  }
})

t.test('what appears with a write shows with it', async (t) => {
  const { here, there } = setUp(t)
  const [tokens, others] = [here.collection<Row>('refresh_tokens'), there.collection<Row>('refresh_tokens')]
  t.same(await Promise.all([tokens.recent('r'), others.recent('r')]), [undefined, undefined])
  await here.collection('token_families').insert({ id: 'f' }, [{ collection: 'refresh_tokens', document: { id: 'r' } }])
  t.same(await tokens.recent('r'), { id: 'r' })
  await heard()
  t.same(await others.recent('r'), { id: 'r' })
  for (const { name, appendedFrom = [] } of collections)
    if (name === 'refresh_tokens')
      t.same(appendedFrom, ['token_families', 'refresh_tokens'], 'whose writes are all looked at')
})

t.test('a read that a write overtakes is not kept', async (t) => {
  const { world, here, there } = setUp(t)
  const [users, others] = [here.collection<Row>('users'), there.collection<Row>('users')]
  await users.insert({ id: 'a', n: 1 })
  await heard()
  const gate = Promise.withResolvers<void>()
  world.pauseReads = gate.promise
  const slow = [users.recent('a'), others.recent('a')]
  await heard()
  await users.update('a', {}, { inc: { n: 1 } })
  await heard()
  world.pauseReads = Promise.resolve()
  t.equal((await users.recent('a'))?.n, 2, 'nor does anybody wait for it')
  gate.resolve()
  t.same(
    (await Promise.all(slow)).map((row) => row?.n),
    [1, 1]
  )
  t.same([(await users.recent('a'))?.n, (await others.recent('a'))?.n], [2, 2])
})

t.test('a write that was refused or failed makes nobody trust what is kept', async (t) => {
  const { world, here } = setUp(t)
  const users = here.collection<Row>('users')
  await users.insert({ id: 'a', n: 1 })
  for (const write of [
    () => users.insert({ id: 'a' }),
    () => users.update('a', { equal: { n: 9 } }, { set: { n: 2 } }),
    () => users.update('a', {}, { inc: { n: 0.5 } }).catch(() => 'failed')
  ]) {
    await users.recent('a')
    const { reads } = world
    await write()
    await users.recent('a')
    t.equal(world.reads, reads + 1)
  }
})

t.test('a message that is lost costs a second', async (t) => {
  const { world, clock, here, there } = setUp(t)
  const [users, others] = [here.collection<Row>('users'), there.collection<Row>('users')]
  await users.insert({ id: 'a', n: 1 })
  await others.recent('a')
  world.isLossy = true
  clock.advance(LIFE_MS - 1)
  await users.update('a', {}, { inc: { n: 1 } })
  t.equal((await others.recent('a'))?.n, 1)
  clock.advance(1)
  t.equal((await others.recent('a'))?.n, 2)
})

t.test('while the bus is away everything is read, and what was kept before is forgotten', async (t) => {
  const { world, here, there, setUp: become } = setUp(t)
  const [users, others] = [here.collection<Row>('users'), there.collection<Row>('users')]
  await users.insert({ id: 'a', n: 1 })
  await heard()
  await others.recent('a')
  const gate = Promise.withResolvers<void>()
  world.pauseReads = gate.promise
  const slow = others.recent('b')
  world.isLossy = true
  become(false)
  await users.insert({ id: 'b', n: 1 })
  await users.update('a', {}, { inc: { n: 1 } })
  become(true)
  world.pauseReads = Promise.resolve()
  gate.resolve()
  t.equal(await slow, undefined)
  t.same([(await others.recent('a'))?.n, (await others.recent('b'))?.n], [2, 1])
  become(false)
  await users.update('a', {}, { inc: { n: 1 } })
  t.equal((await others.recent('a'))?.n, 3)
  await users.update('a', {}, { inc: { n: 1 } })
  t.equal((await others.recent('a'))?.n, 4)
})

t.test('a read that failed is not kept', async (t) => {
  const { world, here } = setUp(t)
  const users = here.collection<Row>('users')
  await users.insert({ id: 'a', n: 1 })
  world.pauseReads = Promise.reject(new Error('away'))
  await t.rejects(users.recent('a'))
  world.pauseReads = Promise.resolve()
  t.equal((await users.recent('a'))?.n, 1)
})

t.test('what is kept is bounded', async (t) => {
  const { world, here } = setUp(t)
  const users = here.collection<Row>('users')
  for (let i = 0; i <= 10_000; i++) await users.recent(`u${i}`)
  const { reads } = world
  await users.recent('u10000')
  await users.recent('u1')
  t.equal(world.reads, reads)
  await users.recent('u0')
  t.equal(world.reads, reads + 1, 'the oldest has gone')
})
