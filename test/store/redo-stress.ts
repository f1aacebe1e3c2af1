import { closeSync, readdirSync, readlinkSync, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { AppError } from '../../src/errors.ts'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { outliveLimits } from './file-limit.ts'
import { createRandom } from './random.ts'

// Child process of the stress test, `node redo-stress.ts <database> <seed>`: writes without end, whatever fails, and says on
// stdout what became of each write. Now and then it takes its log away from itself, or closes the store in the midst of all.
const [, , path = '', seed = ''] = process.argv
outliveLimits()
const random = createRandom(Number(seed))
/** How many writes are few, each time the store is opened. */
const FEW = [0, 0, 16, 300]

let made = 0
let store = await opened()

async function opened(): Promise<Store> {
  for (;;) {
    try {
      return createSqliteStore({ path, specs: contractSpecs, few: FEW[random(FEW.length)] ?? 0 })
    } catch {
      await pause(10)
    }
  }
}

function say(word: string, id: string): void {
  writeSync(1, `${word} ${id}\n`)
}

const note = (id: string, thingId: string) => ({ collection: 'notes', document: { id, thingId } })

/** Says that a write was made; what failed may have been made or not, unless it was refused. */
async function told(word: string, id: string, write: Promise<boolean>): Promise<void> {
  try {
    say((await write) ? word : 'refused', id)
  } catch (error) {
    if (error instanceof AppError) await pause(random(10))
    else say('refused', id)
  }
}

async function write(account: string): Promise<void> {
  const things = store.collection<Thing>('things')
  const id = `${account}-${seed}-${made++}`
  const change = { inc: { amount: 1 }, set: { text: '\u2028\n'.repeat(random(200)) } }
  const kind = random(12)
  if (kind === 0) return told('wrong', id, things.update(account, { lt: { amount: 0 } }, change, [note(id, account)]))
  if (kind === 1)
    return told('wrong', id, things.update(account, {}, change, [note(id, account), note(`first-${account}`, 'none')]))
  if (kind === 2) return told('put', id, things.insert({ id, name: id }))
  if (kind === 3) {
    await told('begun', id, things.insert({ id }))
    return told('gone', id, things.remove(id))
  }
  if (kind === 4) {
    await Promise.allSettled([things.get(account), things.count({})])
    return
  }
  return told('moved', id, things.update(account, {}, change, [note(id, account)]))
}

async function writeOn(account: string): Promise<void> {
  await told('put', account, store.collection<Thing>('things').insert({ id: account, amount: 0 }))
  await told(
    'put',
    `first-${account}`,
    store.collection<Thing>('notes').insert({ id: `first-${account}`, thingId: 'none' })
  )
  for (;;) {
    await write(account)
    if (random(20) === 0) await pause(random(150))
  }
}

function loseLog(): void {
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${path}-redo`)) closeSync(Number(fd))
    } catch {
      // It was that of the folder.
    }
  }
}

async function disturb(): Promise<void> {
  for (;;) {
    await pause(10 + random(150))
    if (random(3) > 0) {
      loseLog()
      continue
    }
    const before = store
    await before.close().catch(() => undefined)
    store = await opened()
  }
}

await Promise.all([disturb(), ...Array.from({ length: 12 }, (_, writer) => writeOn(`w${writer}`))])
