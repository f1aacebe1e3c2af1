import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createIds } from '../../src/ids.ts'
import type { AccountRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'
import { startProcess } from '../server/gateway-process.ts'
import { type Fault, startStandIn } from '../stand-in/flowise.ts'
import { eventsOf, open, textOf } from './tools.ts'

const { echo } = DEMO_IDS
const HALF: Fault = {
  events: [
    ['token', 'half'],
    ['token', ' rest']
  ],
  gates: { 1: 'middle' }
}

/** A real process before a stand-in, and how to ask it. */
async function start(t: Test, env: Record<string, string> = {}) {
  const standIn = await startStandIn()
  t.teardown(() => standIn.close())
  const environment = {
    DATA_DIR: join(t.testdir(), 'data'),
    PORT: '0',
    HOST: '127.0.0.1',
    FLOWISE_API_URL: standIn.url,
    FLOWISE_API_KEY: 'key',
    ADMIN_PASSWORD: 'the admin password',
    DEFAULT_CREDITS: '10',
    ...env
  }
  async function run() {
    const gateway = startProcess(t, environment)
    const url = await gateway.listening
    const json = async (path: string, options: { token?: string; body?: unknown } = {}) => {
      const reply = await fetch(`${url}/api/v1${path}`, {
        method: options.body === undefined ? 'GET' : 'POST',
        headers: {
          'content-type': 'application/json',
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` })
        },
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) })
      })
      return { status: reply.status, body: JSON.parse(await reply.text()) }
    }
    const login = { username: 'admin', password: 'the admin password' }
    const { body } = await json('/chat/authenticate', { body: login })
    const token = String(body.access_token)
    await json('/admin/chatflows/sync', { token, body: {} })
    const ask = { chatflow_id: echo, question: 'hi', sessionId: 's' }
    return {
      ...gateway,
      url,
      token,
      json: (path: string, asked?: unknown) => json(path, { token, ...(asked === undefined ? {} : { body: asked }) }),
      ask,
      stream: () => open(`${url}/api/v1/chat/predict/stream`, { token, body: ask })
    }
  }
  return { standIn, environment, run }
}

t.test('killed in mid-stream: the hold comes back, the ledger adds up, the session is usable', async (t) => {
  const { standIn, environment, run } = await start(t)
  const first = await run()
  standIn.next(HALF)
  const wire = first.stream()
  await wire.until(/half/)
  first.child.kill('SIGKILL')
  t.equal(await first.exit, 'SIGKILL')
  await wire.ended.catch(() => {})

  const store = await openStore({ dataDir: environment.DATA_DIR }, { mode: 'serve' })
  const [account] = await store.collection<AccountRow>('accounts').list({ limit: 1 })
  t.match(account, { available: 9_000_000, held: 1_000_000, holdCount: 1 })
  t.same((await verifyLedger(store)).problems, [], 'also while the hold is open')
  // The lease runs out by the clock; here the clock runs ahead.
  const clock = { now: () => Date.now() + 75_000, after: () => () => {} }
  const ledger = createLedger({ store, clock, ids: createIds(), maxHolds: 50, leaseMs: 60_000 })
  t.equal(await ledger.expireDue(), 1)
  t.match(await store.collection<AccountRow>('accounts').get(account?.id ?? ''), { held: 0, holdCount: 0 })
  t.same((await verifyLedger(store)).problems, [])
  await store.close()

  const second = await run()
  t.match((await second.json('/chat/credits')).body, { credits_remaining: 10, credits_held: 0 })
  const reply = await second.json('/chat/predict', second.ask)
  t.match(reply, { status: 200, body: { response: 'hi', credits_remaining: 9 } })
  const [left, next] = standIn.predictions.map(({ body }) => Object(body))
  t.equal(next.overrideConfig.sessionId, left.overrideConfig.sessionId)
  t.not(next.chatId, left.chatId, 'the killed run may still be writing')
  const history = await second.json('/chat/sessions/s/history')
  t.equal(history.body.messages.length, 3)
  second.child.kill('SIGTERM')
  t.equal(await second.exit, 0)
})

t.test('SIGTERM: a running stream gets its grace time, then draining and end; exit 0', async (t) => {
  const { standIn, environment, run } = await start(t, { DRAIN_SECONDS: '0.5' })
  const gateway = await run()
  standIn.next(HALF)
  const wire = gateway.stream()
  await wire.until(/half/)
  gateway.child.kill('SIGTERM')
  const text = await wire.ended
  t.equal(textOf(text), 'half')
  t.match(eventsOf(text).at(-2)?.data, { event: 'error', code: 'draining', status: 503, credits_charged: 1 })
  t.equal(eventsOf(text).at(-1)?.event, 'end')
  t.equal(await gateway.exit, 0)
  t.equal(standIn.aborts.length, 1)
  const store = await openStore({ dataDir: environment.DATA_DIR }, { mode: 'serve' })
  t.match(await store.collection<AccountRow>('accounts').list({ limit: 1 }), [{ available: 9_000_000, held: 0 }])
  t.same((await verifyLedger(store)).problems, [])
  await store.close()
})

t.test('SIGTERM: a stream that ends within the grace time ends as always', async (t) => {
  const { standIn, run } = await start(t, { DRAIN_SECONDS: '20' })
  const gateway = await run()
  standIn.next(HALF)
  const wire = gateway.stream()
  await wire.until(/half/)
  gateway.child.kill('SIGTERM')
  while ((await fetch(`${gateway.url}/ready`)).status !== 503);
  const late = await gateway.json('/chat/predict', { ...gateway.ask, sessionId: 'late' })
  t.match(late, { status: 503, body: { code: 'draining' } })
  standIn.gate('middle').open()
  const text = await wire.ended
  t.equal(textOf(text), 'half rest')
  t.same(
    eventsOf(text)
      .slice(-2)
      .map(({ event }) => event),
    ['metadata', 'end']
  )
  t.equal(await gateway.exit, 0)
  t.equal(standIn.aborts.length, 0)
  t.equal(standIn.predictions.length, 1)
})

t.test('the log has neither question nor answer, whatever happens', async (t) => {
  const { standIn, run } = await start(t, { LOG_LEVEL: 'trace' })
  const gateway = await run()
  const question = 'the private question'
  const ask = { chatflow_id: echo, question }
  standIn.next({ events: [['token', 'the private answer']] })
  await open(`${gateway.url}/api/v1/chat/predict/stream`, { token: gateway.token, body: ask }).ended
  standIn.next({
    events: [
      ['token', 'the private answer'],
      ['error', 'a provider text']
    ]
  })
  await open(`${gateway.url}/api/v1/chat/predict/stream`, { token: gateway.token, body: ask }).ended
  standIn.next({ status: 500, body: '{}' })
  await gateway.json(`/prediction/${echo}`, { question })
  standIn.next({ body: '{"text":"the private answer"' })
  await gateway.json('/chat/predict', ask)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.match(gateway.stdout(), 'prediction failed')
  t.notMatch(gateway.stdout() + gateway.stderr(), /private question|private answer/)
  t.notMatch(gateway.stdout(), gateway.token)
})

t.test('SIGTERM: a client that reads nothing does not keep the process', async (t) => {
  const { standIn, run } = await start(t, { DRAIN_SECONDS: '0.2', MAX_ANSWER_MB: '100' })
  const gateway = await run()
  standIn.next({ events: Array.from({ length: 100 }, () => ['token', 'x'.repeat(524_288)] as const) })
  const url = `${gateway.url}/api/v1/chat/predict/stream`
  const wire = open(url, { token: gateway.token, body: gateway.ask, isPaused: true })
  await wire.head
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  wire.leave()
})
