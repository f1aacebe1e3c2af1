import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startProcess } from '../server/gateway-process.ts'
import { type AccountingFault, startAccountingService } from '../stand-in/accounting-service.ts'

const SECRET = 'a-secret-of-more-than-thirty-two-bytes'
const PASSWORD = 'the admin password'

/** Where the process is killed, what happens to its request then, and what must come of the charge. */
const cases: {
  title: string
  gate: AccountingFault['gates']
  on: 'GET' | 'POST'
  isCarriedOut: boolean
  kinds: string[]
}[] = [
  { title: 'while it reads the balance', gate: { before: 'stop' }, on: 'GET', isCarriedOut: true, kinds: [] },
  {
    title: 'its request was never heard',
    gate: { before: 'stop' },
    on: 'POST',
    isCarriedOut: false,
    kinds: ['repeated']
  },
  {
    title: 'its request is carried out later',
    gate: { before: 'stop' },
    on: 'POST',
    isCarriedOut: true,
    kinds: ['assumed']
  },
  { title: 'it never heard the answer', gate: { answer: 'stop' }, on: 'POST', isCarriedOut: true, kinds: ['assumed'] }
]

t.setTimeout(300_000)

t.test('a process that is killed while it settles is followed by one that finishes', (t) => {
  const folder = t.testdir()
  // The next process waits until the turn of the dead one has run out: all cases wait together.
  return Promise.all(cases.map((each) => killAndFollow(t, each, folder)))
})

async function killAndFollow(t: Test, wanted: (typeof cases)[number], folder: string): Promise<void> {
  const { title, gate, on, isCarriedOut, kinds } = wanted
  const service = await startAccountingService({ secret: SECRET })
  const env = {
    DATA_DIR: join(folder, title.replaceAll(' ', '-')),
    PORT: '0',
    JWT_SECRET_KEY: SECRET,
    ADMIN_PASSWORD: PASSWORD,
    ACCOUNTING_SERVICE_URL: service.url,
    ACCOUNTING_TIMEOUT_MS: '1000'
  }
  const first = startProcess(t, env)
  const url = await first.listening
  const { token, id } = await login(url)
  service.balances.set(id, 5)
  let reads = 0
  let isStopped = false
  service.always(({ method }) => {
    // The first look at the balance is that of the admission.
    const isIt = method === on && (on === 'POST' || ++reads === 2) && !isStopped
    if (!isIt) return undefined
    isStopped = true
    return gate && { gates: gate }
  })
  const reply = await fetch(`${url}/api/v1/chat/predict`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ chatflow_id: DEMO_IDS.echo, question: 'hi' })
  })
  t.equal(reply.status, 200, title)
  await service.reached('stop')
  first.child.kill('SIGKILL')
  await first.exit
  if (isCarriedOut) service.open('stop')

  const second = startProcess(t, env)
  const after = await second.listening
  const next = await login(after)
  let state = 'pending'
  while (state === 'pending') {
    await new Promise((resolve) => void setTimeout(resolve, 500))
    const page = await fetch(`${after}/api/v1/chat/credits/transactions`, {
      headers: { authorization: `Bearer ${next.token}` }
    })
    state = JSON.parse(await page.text()).transactions[0].state
  }
  t.equal(state, 'settled', title)
  t.equal(service.deductions.length, 1, title)
  t.equal(service.balances.get(id), 4, title)
  const verify = startProcess(t, env, ['src/cli.ts', 'verify'])
  t.equal(await verify.exit, 0, title)
  t.match(verify.stdout(), '0 problems', title)
  const listed = [...verify.stdout().matchAll(/^account \S+: charge \S+ of 1 is (\w+), after a try of unknown/gm)]
  t.same(
    listed.map(([, kind]) => kind),
    kinds,
    title
  )
  second.child.kill('SIGTERM')
  await second.exit
  await service.close()
}

async function login(url: string): Promise<{ token: string; id: string }> {
  const reply = await fetch(`${url}/api/v1/chat/authenticate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password: PASSWORD })
  })
  const { access_token: token, user } = JSON.parse(await reply.text())
  return { token, id: user.id }
}
