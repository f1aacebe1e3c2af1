import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createIds } from '../../src/ids.ts'
import type { MessageRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'
import { open } from '../prediction/tools.ts'
import { startProcess } from '../server/gateway-process.ts'
import { startStandIn } from '../stand-in/flowise.ts'
import { heard, lastIdOf, messageIdOf, resumer, wholeEvents } from './resume.ts'

t.setTimeout(300_000)

const PASSWORD = 'the admin password'

t.test('the process of a run is killed: its stream is in progress, then told as far as it was kept', async (t) => {
  const standIn = await startStandIn()
  t.teardown(() => standIn.close())
  const environment = {
    DATA_DIR: join(t.testdir(), 'data'),
    PORT: '0',
    HOST: '127.0.0.1',
    FLOWISE_API_URL: standIn.url,
    FLOWISE_API_KEY: 'key',
    ADMIN_PASSWORD: PASSWORD,
    DEFAULT_CREDITS: '10',
    RESUME_SECONDS: '600'
  }
  async function run() {
    const gateway = startProcess(t, environment)
    const url = await gateway.listening
    const post = async (path: string, body: unknown, token = '') => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
      const reply = await fetch(`${url}/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      return JSON.parse(await reply.text())
    }
    const get = async (path: string, token: string) => {
      const reply = await fetch(`${url}/api/v1${path}`, { headers: { authorization: `Bearer ${token}` } })
      return JSON.parse(await reply.text())
    }
    const { access_token: token } = await post('/chat/authenticate', { username: 'admin', password: PASSWORD })
    await post('/admin/chatflows/sync', {}, token)
    return { ...gateway, url, token, get, resume: resumer(url, token) }
  }

  const first = await run()
  standIn.next({
    events: [
      ['token', 'half'],
      ['token', ' rest']
    ],
    gates: { 1: 'middle' }
  })
  const body = { chatflow_id: DEMO_IDS.echo, question: 'hi', sessionId: 's' }
  const wire = open(`${first.url}/api/v1/chat/predict/stream`, { token: first.token, body })
  const before = await wire.until(/half/)
  const messageId = messageIdOf(before)
  wire.leave()
  // Nobody is there; what there is is kept when the lease is renewed.
  while ((await first.get('/chat/sessions/s/history', first.token)).messages.length < 2) await pause(200)
  first.child.kill('SIGKILL')
  await first.exit

  const second = await run()
  const early = second.resume(messageId, { after: lastIdOf(before) })
  t.equal((await early.head).status, 409, 'its credits are still held')
  t.match(JSON.parse(await early.ended), { code: 'request_in_progress' })
  second.child.kill('SIGTERM')
  t.equal(await second.exit, 0)

  const store = await openStore({ dataDir: environment.DATA_DIR }, { mode: 'serve' })
  const clock = { now: () => Date.now() + 75_000, after: () => () => {} }
  const ledger = createLedger({ store, clock, ids: createIds(), maxHolds: 50, leaseMs: 60_000 })
  t.equal(await ledger.expireDue(), 1)
  t.match(await store.collection<MessageRow>('messages').get(messageId), { content: 'half', part: 1 })
  t.same((await verifyLedger(store)).problems, [])
  await store.close()

  const third = await run()
  const late = await third.resume(messageId, { after: lastIdOf(before) }).ended
  t.equal(heard(before, late), 'half')
  t.same(
    wholeEvents(late).map(({ event }) => event),
    ['session_id', 'token', 'error', 'end']
  )
  t.match(wholeEvents(late)[2]?.data, { code: 'upstream_incomplete', credits_charged: 1 })
  t.equal((await third.resume(messageId, { after: lastIdOf(late) }).head).status, 204)
  t.equal((await third.resume('', { session: 's' }).head).status, 204)
  third.child.kill('SIGTERM')
  t.equal(await third.exit, 0)
})
