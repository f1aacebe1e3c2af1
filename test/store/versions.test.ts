import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Clock } from '../../src/clock.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import type { Collection, CollectionSpec, Document, Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { migrate, type Migration, refuseNewer } from '../../src/store/versions.ts'
import { createFakeClock } from '../clock.ts'
import { until } from '../contract/bus.ts'
import { withMongo } from '../servers/mongodb.ts'
import { firstSpecs, notesForm, secondForm, secondSpecs, thirdForm, thirdSpecs } from './forms.ts'

const SIZE = 250
const LEASE_MS = 60_000
/** The machine's, with timers that keep the process alive: an embedded store has nothing else that would. */
const clock: Clock = {
  now: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  }
}
t.setTimeout(300_000)

type Row = Document & Record<string, unknown>

/** One set of data that any number of processes may open. */
interface Data {
  open(specs: CollectionSpec[]): Promise<Store>
  /** What the child process is told to open the same. */
  words: string[]
}

/** Things in the first form, 250 of them: two pages of a migration. */
async function fill(data: Data): Promise<Collection<Row>> {
  const store = await data.open(firstSpecs)
  const things = store.collection<Row>('things')
  const made = Array.from({ length: SIZE }, (_, i) => things.insert({ id: `t${String(i).padStart(3, '0')}`, old: i }))
  await Promise.all(made)
  return things
}

const forms = async (store: Store) => (await store.collection<Row>('meta').get('schema'))?.value

function versionCases(t: Test, kind: string, make: (t: Test) => Data): void {
  const withData = (title: string, check: (t: Test, data: Data) => Promise<void>) =>
    void t.test(`${kind}: ${title}`, async (t) => check(t, make(t)))

  withData('each step is taken once, in order, whichever gateway made the data', async (t, data) => {
    const things = await fill(data)
    const store = await data.open(thirdSpecs)
    const options = { specs: thirdSpecs, migrations: [thirdForm, notesForm, secondForm], clock }
    await migrate(store, { ...options, owner: 'one' })
    t.same(await forms(store), { things: 3, notes: 2 })
    t.strictSame(await things.get('t007'), { id: 't007', fresh: 7, times: 1, tens: 70 })
    t.equal((await things.list({ where: { exists: { tens: true, old: false } }, limit: 1000 })).length, SIZE)
    await things.insert({ id: 'made in the third form', old: 'a word of its own' })
    await store.collection('notes').insert({ id: 'n' })
    await migrate(store, { ...options, owner: 'two' })
    t.strictSame(await things.get('made in the third form'), { id: 'made in the third form', old: 'a word of its own' })
    t.strictSame(await store.collection('notes').get('n'), { id: 'n' })
  })

  withData('of many processes at once one migrates, and none is done before', async (t, data) => {
    const things = await fill(data)
    const changes: string[] = []
    const counted: Migration = { ...secondForm, change: (row) => (changes.push(row.id), secondForm.change(row)) }
    const stores = await Promise.all(Array.from({ length: 6 }, () => data.open(secondSpecs)))
    await Promise.all(
      stores.map(async (store, i) => {
        await migrate(store, { specs: secondSpecs, migrations: [counted], clock, owner: `process ${i}` })
        t.equal(await things.count({ exists: { old: true } }), 0)
      })
    )
    t.equal(changes.length, SIZE)
    t.equal(await things.count({ equal: { times: 1 } }), SIZE)
  })

  withData('a step that another process took after it was found missing is not taken again', async (t, data) => {
    const things = await fill(data)
    const changes: string[] = []
    const counted: Migration = { ...secondForm, change: (row) => (changes.push(row.id), secondForm.change(row)) }
    const options = { specs: secondSpecs, migrations: [counted], clock }
    const [late, early] = [await data.open(secondSpecs), await data.open(secondSpecs)]
    // The row of forms is there, as on every start but the first.
    await migrate(early, { specs: firstSpecs, migrations: [], clock, owner: 'first' })
    const waiting = beforeUpdate(late, 'meta', () => migrate(early, { ...options, owner: 'early' }))
    await migrate(waiting, { ...options, owner: 'late' })
    t.equal(changes.length, SIZE)
    t.equal(await things.count({ equal: { times: 1 } }), SIZE)
  })

  withData('what kill -9 interrupted is taken over when its lease has ended', async (t, data) => {
    const things = await fill(data)
    const words = [join(import.meta.dirname, 'migrating.ts'), ...data.words, '220']
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    t.equal(await things.count({ exists: { old: true } }), SIZE - 220)

    const later = createFakeClock(Date.now())
    const store = await data.open(secondSpecs)
    const options = { specs: secondSpecs, migrations: [secondForm], clock: later, owner: 'the next one' }
    let isOver = false
    const whole = migrate(store, options).then(() => {
      isOver = true
    })
    await until(() => later.nextAt() !== undefined)
    t.equal(isOver, false, 'the dead one might still be at it')
    later.advance(LEASE_MS)
    await whole
    t.equal(await things.count({ equal: { times: 1 } }), SIZE)
    t.same(await forms(store), { things: 2 })
  })

  withData('a process that stood still longer than its lease leaves alone what others did', async (t, data) => {
    const things = await fill(data)
    const later = createFakeClock(Date.now())
    const options = { specs: secondSpecs, migrations: [secondForm], clock: later }
    const [slow, fast] = [await data.open(secondSpecs), await data.open(secondSpecs)]
    const pausing = pausedAfter(slow, 't003', async () => {
      later.advance(LEASE_MS + 1)
      await migrate(fast, { ...options, owner: 'fast' })
      t.ok(await things.update('t005', {}, { set: { fresh: 'by a user' } }))
    })
    await migrate(pausing, { ...options, owner: 'slow' })
    t.equal((await things.get('t005'))?.fresh, 'by a user')
    t.equal(await things.count({ equal: { times: 1 } }), SIZE)
  })

  withData('data of a newer gateway is refused, and nothing in it changed', async (t, data) => {
    const things = await fill(data)
    const store = await data.open(thirdSpecs)
    await migrate(store, { specs: thirdSpecs, migrations: [secondForm, thirdForm, notesForm], clock, owner: 'newer' })
    const before = [await forms(store), await things.list({ limit: 1000 })]
    const newer = { message: /newer gateway \(things has form 3, this one knows 2\)/ }
    const old = await data.open(secondSpecs)
    await t.rejects(refuseNewer(old, secondSpecs), newer)
    await t.rejects(migrate(old, { specs: secondSpecs, migrations: [secondForm], clock, owner: 'older' }), newer)
    const unknown = thirdSpecs.filter(({ name }) => name !== 'notes')
    await t.rejects(refuseNewer(store, unknown), { message: /notes has form 2, this one knows none/ })
    t.strictSame([await forms(store), await things.list({ limit: 1000 })], before)
  })
}

type Update = Collection<Document>['update']

/** The store with another way to change documents of one collection. */
function changing(store: Store, changed: string, wrap: (update: Update) => Update): Store {
  return {
    ...store,
    collection<D extends Document>(name: string) {
      const real = store.collection<D>(name)
      return name === changed ? { ...real, update: wrap(real.update) } : real
    }
  }
}

/** The store, with a pause behind its change of one of the things. */
function pausedAfter(store: Store, id: string, pause: () => Promise<void>): Store {
  return changing(store, 'things', (update) => async (...args) => {
    const isDone = await update(...args)
    if (args[0] === id) await pause()
    return isDone
  })
}

/** The store, with something else before its first change in this collection. */
function beforeUpdate(store: Store, name: string, first: () => Promise<void>): Store {
  let isFirst = true
  return changing(store, name, (update) => async (...args) => {
    if (isFirst) {
      isFirst = false
      await first()
    }
    return update(...args)
  })
}

versionCases(t, 'SQLite', (t) => {
  const path = join(t.testdir(), 'data.db')
  return {
    words: [path, ''],
    async open(specs) {
      // Two at once in one file: none holds it longer than it writes.
      const store = createSqliteStore({ path, specs, few: Infinity })
      t.teardown(() => store.close())
      return store
    }
  }
})

void withMongo(t, 'versions', async (t, { url, name, freshDatabase }) => {
  versionCases(t, name, (t) => {
    const database = freshDatabase()
    const patient = `${url}?waitQueueTimeoutMS=60000`
    return {
      words: [patient, database],
      async open(specs) {
        const { store, makeIndexes } = await connectMongo({ url: patient, database }, { specs, clock })
        t.teardown(() => store.close())
        await makeIndexes()
        return store
      }
    }
  })
})
