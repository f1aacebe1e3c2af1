import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { copyDatabase, PARTS } from './database-files.ts'
import { turn } from './deferred.ts'
import { createRandom } from './random.ts'

t.setTimeout(300_000)

const ROUNDS = 120
const SIZES = [512, 4096]
const LOGS = PARTS.slice(2)

function open(t: Test, path: string): Store {
  const store = createSqliteStore({ path, specs: contractSpecs, few: 0 })
  t.teardown(() => store.close())
  return store
}

/** Moves something, with its note; the ids are all of one length, and so are the records. */
async function move(store: Store, id: string, size: number): Promise<string> {
  const note = { id, thingId: 'a', text: 'x'.repeat(size) }
  const change = { inc: { amount: 1 }, set: { last: id } }
  await store.collection<Thing>('things').update('a', {}, change, [{ collection: 'notes', document: note }])
  return id
}

/** The notes that are there; as many must the amount say. */
async function notesIn(t: Test, store: Store): Promise<string[]> {
  const notes = (await store.collection('notes').list({ limit: 1000 })).map(({ id }) => id)
  const thing = await store.collection<Thing>('things').get('a')
  t.equal(thing?.amount, 1000 + notes.length, 'both or neither')
  t.equal(thing?.['last'], notes.at(-1), 'and in order')
  return notes
}

function filesOf(path: string): Map<string, Buffer> {
  return new Map(PARTS.map((part) => [part, existsSync(path + part) ? readFileSync(path + part) : Buffer.alloc(0)]))
}

/** A file of which the blocks may have reached the disk or not that were written since the last sync. */
function torn(durable: Buffer, written: Buffer, random: (below: number) => number): Buffer {
  const size = SIZES[random(SIZES.length)] ?? 512
  // What was beyond the end of the file may be missing, or be nothing but zeros.
  const file = random(2) === 0 ? Buffer.alloc(written.length) : Buffer.alloc(durable.length)
  durable.copy(file)
  for (let start = 0; start < file.length; start += size)
    if (random(3) > 0) written.copy(file, start, start, start + size)
  return file
}

t.test('after a power failure everything is there that was acknowledged, and of the rest the first', async (t) => {
  const first = Math.floor(Math.random() * 2 ** 31)
  const random = createRandom(first)
  const path = join(t.testdir(), 'things.db')
  const store = open(t, path)
  let made = 0
  let lost = 0
  const next = () => `n${String(made++).padStart(5, '0')}`
  await store.collection<Thing>('things').insert({ id: 'a', amount: 1000, last: next() })
  await store.collection('notes').insert({ id: 'n00000' })
  await store.collection('things').update('a', {}, { inc: { amount: 1 } })
  for (let round = 0; round < ROUNDS; round++) {
    const size = random(3) * 700
    const acknowledged = await notesIn(t, store)
    for (let i = random(3); i > 0; i--) acknowledged.push(await move(store, next(), size))
    const durable = filesOf(path)
    let answered = 0
    const asked = Array.from({ length: 2 + random(6) }, next)
    const answers: Promise<unknown>[] = []
    for (const id of asked) {
      answers.push(move(store, id, size).then(() => answered++))
      await turn()
    }
    const isSame = answered === 0 && readFileSync(`${path}-wal`).equals(durable.get('-wal') ?? Buffer.alloc(0))
    const written = filesOf(path)
    await Promise.all(answers)
    // A sync or a commit came between.
    if (!isSame) continue

    const image = `${path}-${round}`
    for (const [part, bytes] of durable)
      writeFileSync(image + part, LOGS.includes(part) ? torn(bytes, written.get(part) ?? bytes, random) : bytes)
    const after = open(t, image)
    const there = await notesIn(t, after)
    t.same(there, [...acknowledged, ...asked].slice(0, there.length), `seed ${first}, round ${round}`)
    t.ok(there.length >= acknowledged.length)
    if (there.length < acknowledged.length + asked.length) lost++
    there.push(await move(after, next(), size), await move(after, next(), size))

    const again = `${image}-again`
    copyDatabase(image, again)
    const last = open(t, again)
    t.same(await notesIn(t, last), there, 'nothing comes back later')
    await Promise.all([after.close(), last.close()])
    for (const part of PARTS) for (const file of [image, again]) rmSync(file + part, { force: true })
  }
  t.ok(lost > 5, `${lost} times something was lost`)
})
