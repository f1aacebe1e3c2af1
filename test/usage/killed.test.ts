import { join } from 'node:path'
import t from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createIds } from '../../src/ids.ts'
import { openStore } from '../../src/store/open.ts'
import { createFreeRuns } from '../../src/usage/free-runs.ts'
import { createReceipts } from '../../src/usage/receipts.ts'
import { open } from '../prediction/tools.ts'
import { startProcess } from '../server/gateway-process.ts'
import { startStandIn } from '../stand-in/flowise.ts'
import { chargedIn, openUsage } from './open.ts'

t.test('killed in mid-stream: receipt and report say what became of the money', async (t) => {
  const standIn = await startStandIn()
  t.teardown(() => standIn.close())
  const dataDir = join(t.testdir(), 'data')
  const gateway = startProcess(t, {
    DATA_DIR: dataDir,
    PORT: '0',
    HOST: '127.0.0.1',
    FLOWISE_API_URL: standIn.url,
    FLOWISE_API_KEY: 'key',
    ADMIN_PASSWORD: 'the admin password',
    DEFAULT_CREDITS: '10'
  })
  const api = `${await gateway.listening}/api/v1`
  let token = ''
  const post = async (path: string, body: unknown): Promise<Record<string, string>> => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const reply = await fetch(`${api}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return Object(await reply.json())
  }
  const login = { username: 'admin', password: 'the admin password' }
  token = (await post('/chat/authenticate', login))['access_token'] ?? ''
  await post('/admin/chatflows/sync', {})
  const ask = { chatflow_id: DEMO_IDS.echo, question: 'hi' }
  const paid = (await post('/chat/predict', ask))['message_id'] ?? ''
  standIn.next({ events: [['token', 'half']], end: 'open' })
  const wire = open(`${api}/chat/predict/stream`, { token, body: ask })
  const cut = /"message_id":"([^"]+)"/.exec(await wire.until(/half/))?.[1] ?? ''
  gateway.child.kill('SIGKILL')
  await gateway.exit
  await wire.ended.catch(() => {})

  const store = await openStore({ dataDir }, { mode: 'serve' })
  const clock = { now: () => Date.now() + 75_000, after: () => () => {} }
  const freeRuns = createFreeRuns({ store, clock, keptMs: 1, track: () => {} })
  const receipts = createReceipts({ store, freeRuns, running: () => undefined })
  const { totals } = openUsage({ store, clock })
  t.match(await receipts.find(paid), { state: 'settled', chargedMicro: 1_000_000 })
  t.match(await receipts.find(cut), { state: 'held', heldMicro: 1_000_000, meta: { messageId: cut } })
  t.match(await totals(), { predictions: 1, chargedMicro: await chargedIn(store) })
  const ledger = createLedger({ store, clock, ids: createIds(), maxHolds: 50, leaseMs: 60_000 })
  t.equal(await ledger.expireDue(), 1)
  t.match(await receipts.find(cut), { state: 'expired', chargedMicro: 0, meta: { ending: 'expired' } })
  t.match(await totals(), { predictions: 2, completed: 1, failed: 1, chargedMicro: await chargedIn(store) })
  t.same((await verifyLedger(store)).problems, [])
  await store.close()
})
