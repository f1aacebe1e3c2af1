import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { contractSpecs, type Thing } from '../contract/things.ts'
import { copyDatabase } from './database-files.ts'
import { canLimitFiles } from './file-limit.ts'
import { createRandom } from './random.ts'

t.setTimeout(300_000)

const ROUNDS = 12
const ACCOUNTS = Array.from({ length: 12 }, (_, writer) => `w${writer}`)

/** What the children have said of their writes. */
interface Said {
  there: Map<string, 'things' | 'notes'>
  absent: Map<string, 'things' | 'notes'>
}

function hear(line: string, { there, absent }: Said): void {
  const [word, id = ''] = line.split(' ')
  if (word === 'moved') there.set(id, 'notes')
  if (word === 'refused' && id.includes('-') && !id.startsWith('first')) absent.set(id, 'notes')
  if (word === 'put' && !id.startsWith('first')) there.set(id, 'things')
  if (word !== 'gone') return
  there.delete(id)
  absent.set(id, 'things')
}

/** What is not as it was said, in words. */
async function wrongIn(store: Store, { there, absent }: Said): Promise<string[]> {
  const wrong: string[] = []
  for (const [id, name] of there) if (!(await store.collection(name).get(id))) wrong.push(`lost: ${id}`)
  for (const [id, name] of absent) if (await store.collection(name).get(id)) wrong.push(`refused, but there: ${id}`)
  for (const id of ACCOUNTS) {
    const amount = (await store.collection<Thing>('things').get(id))?.amount ?? 0
    const notes = await store.collection('notes').count({ equal: { thingId: id } })
    if (amount !== notes) wrong.push(`${id}: ${amount} with ${notes} notes`)
  }
  return wrong
}

/** Opens an image of what the killed process has left, so that the next child has to recover the same once more. */
async function wrongAfterCrash(path: string, said: Said): Promise<string[]> {
  const image = `${path}.image`
  copyDatabase(path, image)
  const store = createSqliteStore({ path: image, specs: contractSpecs })
  try {
    return await wrongIn(store, said)
  } finally {
    await store.close()
  }
}

/** Holds the file against the child for a while. */
async function occupy(path: string, ms: number): Promise<void> {
  const db = new DatabaseSync(path, { timeout: 300 })
  try {
    db.exec('begin immediate')
    await pause(ms)
  } catch {
    // The child was there first.
  } finally {
    db.close()
  }
}

/** No file may be written to behind so many bytes for a while. */
async function limit({ pid }: ChildProcess, bytes: number, ms: number): Promise<void> {
  spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`])
  await pause(ms)
  spawnSync('prlimit', ['--pid', String(pid), '--fsize=unlimited:'])
}

t.test(`whatever fails, and a kill -9 then, ${ROUNDS} times`, { skip: !canLimitFiles() }, async (t) => {
  const path = join(t.testdir(), 'things.db')
  const first = Math.floor(Math.random() * 2 ** 31)
  const random = createRandom(first)
  const said: Said = { there: new Map(), absent: new Map() }
  const env = { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: join(t.testdirName, 'compiled') }
  for (let round = 0; round < ROUNDS; round++) {
    const script = join(import.meta.dirname, 'redo-stress.ts')
    const child = spawn(process.execPath, [script, path, String((first + round) >>> 0)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const exited = once(child, 'exit')
    const lines = createInterface({ input: child.stdout })
    const heard = once(lines, 'close')
    lines.on('line', (line) => hear(line, said))
    await Promise.race([once(lines, 'line'), heard])
    for (let fault = random(4); fault > 0; fault--) {
      await pause(random(200))
      if (random(3) === 0) await occupy(path, random(300))
      else await limit(child, [1, 30_000, 600_000, 1_200_000][random(4)] ?? 1, random(300))
    }
    await pause(random(200))
    child.kill('SIGKILL')
    const [, signal] = await exited
    await heard
    t.equal(signal, 'SIGKILL', 'nothing else ended it')
    const wrong = await wrongAfterCrash(path, said)
    t.same(wrong.slice(0, 5), [], `round ${round}, seed ${first}`)
    if (wrong.length > 0) return
  }
  t.ok(
    said.there.size > ROUNDS * 20 && said.absent.size > ROUNDS,
    `${said.there.size} made, ${said.absent.size} refused`
  )
})
