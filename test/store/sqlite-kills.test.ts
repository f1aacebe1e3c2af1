import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'

t.setTimeout(300_000)

const KILLS = 50
const MOST_WRITES = 300

t.test(`kill -9 in a burst of writes, ${KILLS} times in one folder: nothing acknowledged is lost`, async (t) => {
  const dataDir = join(t.testdir(), 'data')
  const env = { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: join(t.testdirName, 'compiled') }
  const acknowledged: string[] = []
  let killed = 0
  for (let round = 0; round < KILLS; round++) {
    // From the very first write to the middle of a long burst.
    const after = round % 5 === 0 ? 1 : Math.ceil(Math.random() * MOST_WRITES)
    const script = join(import.meta.dirname, 'write-burst.ts')
    const child = spawn(process.execPath, [script, dataDir, String(round)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const exited = once(child, 'exit')
    let count = 0
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line)
      if (++count === after) child.kill('SIGKILL')
    }
    const [, signal] = await exited
    if (signal === 'SIGKILL' && count >= after) killed++
  }
  t.equal(killed, KILLS)
  t.ok(acknowledged.length > KILLS)

  const store = await openStore({ dataDir }, { mode: 'serve' })
  t.teardown(() => store.close())
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const found = await Promise.all(acknowledged.map((id) => entries.get(id)))
  t.equal(found.filter((entry) => entry === undefined).length, 0, `${acknowledged.length} writes were acknowledged`)
  const accounts = await store.collection<AccountRow>('accounts').list({ limit: 100 })
  t.equal(accounts.length, 8)
  for (const { id, available } of accounts)
    t.equal(await entries.count({ equal: { accountId: id, isPosting: true } }), available, 'both or neither')
})
