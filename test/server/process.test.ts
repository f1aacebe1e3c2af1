import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { environment, startProcess } from './gateway-process.ts'

const SECRET = 'a-secret-of-more-than-thirty-two-bytes'

t.test('a start with nothing configured', async (t) => {
  const env = environment(t)
  const gateway = startProcess(t, env)
  const url = await gateway.listening
  t.equal((await fetch(`${url}/health`)).status, 200)
  t.match(await (await fetch(`${url}/info`)).json(), { upstream: 'demo' })
  t.equal(statSync(env.DATA_DIR).mode & 0o777, 0o700)
  for (const file of readdirSync(env.DATA_DIR)) t.equal(statSync(join(env.DATA_DIR, file)).mode & 0o777, 0o600, file)

  const password = /password: (\S+)/.exec(gateway.stdout())?.[1] ?? ''
  t.ok(password.length > 20, 'a random password is shown')
  t.match(gateway.stdout(), 'DEMO')
  const token = await login(url, password)

  await t.test('the line that was printed streams an answer', async (t) => {
    const line =
      gateway
        .stdout()
        .split('\n')
        .find((text) => text.trim().startsWith('curl')) ?? ''
    t.match(line, DEMO_IDS.storyteller)
    t.notMatch(line, 'jq')
    const body = /-d '(\{"chatflow_id"[^']+)'/.exec(line)?.[1] ?? ''
    const reply = await fetch(`${url}/api/v1/chat/predict/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body.replace(DEMO_IDS.storyteller, DEMO_IDS.echo)
    })
    t.equal(reply.status, 200)
    const text = await reply.text()
    t.match(text, 'event: session_id')
    t.match(text, 'event: token')
    t.match(text, 'event: end')
  })

  await t.test('a second process on the same folder is refused', async (t) => {
    const second = startProcess(t, env)
    t.equal(await second.exit, 1)
    t.match(second.stderr(), 'DATA_DIR')
    t.notMatch(second.stderr(), '    at ')
    t.equal((await fetch(`${url}/health`)).status, 200)
  })

  await t.test('the ledger can be verified while the gateway runs', async (t) => {
    const verify = startProcess(t, env, ['src/cli.ts', 'verify'])
    t.equal(await verify.exit, 0)
    t.match(verify.stdout(), '0 problems')
  })

  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  checkLog(t, gateway.stdout(), [password, token])

  const again = startProcess(t, env)
  const nextUrl = await again.listening
  t.notMatch(again.stdout(), password, 'the password is shown only once')
  t.ok(await login(nextUrl, password), 'and still valid')
  const credits = await fetch(`${nextUrl}/api/v1/chat/credits`, { headers: { authorization: `Bearer ${token}` } })
  t.equal(credits.status, 200, 'tokens survive a restart: the generated secret is kept')
  t.match(await credits.json(), { credits_remaining: 999 })
  again.child.kill('SIGINT')
  t.equal(await again.exit, 0)

  const database = new DatabaseSync(join(env.DATA_DIR, 'gateway.db'))
  database.exec(`update accounts set doc = json_set(doc, '$.available', 5)`)
  database.close()
  const verify = startProcess(t, env, ['src/cli.ts', 'verify'])
  t.equal(await verify.exit, 1, 'a balance that nobody entered is found')
  t.match(verify.stdout(), /account \S+: I3 /)
})

t.test('a shutdown tells a running stream, and everybody who comes late', async (t) => {
  const gateway = startProcess(t, environment(t, { DRAIN_SECONDS: '1' }))
  const url = await gateway.listening
  const token = await login(url, /password: (\S+)/.exec(gateway.stdout())?.[1] ?? '')
  const ask = (question: string) =>
    fetch(`${url}/api/v1/chat/predict/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ chatflow_id: DEMO_IDS.storyteller, question })
    })
  const running = await ask('a long story')
  t.equal(running.status, 200)
  gateway.child.kill('SIGTERM')
  await gateway.printed('shutdown begins')
  t.equal((await fetch(`${url}/ready`)).status, 503)
  t.equal((await fetch(`${url}/health`)).status, 200)
  const late = await ask('another one')
  t.equal(late.status, 503)
  t.match(await late.json(), { code: 'draining' })
  const events = [...(await running.text()).matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)
  t.strictSame(events.slice(-2), ['error', 'end'])
  t.equal(events.filter((name) => name === 'end').length, 1)
  t.equal(await gateway.exit, 0)
})

t.test('production prints the new password and no banner', async (t) => {
  const gateway = startProcess(
    t,
    environment(t, { NODE_ENV: 'production', JWT_SECRET_KEY: SECRET, FLOWISE_API_URL: 'http://127.0.0.1:9' })
  )
  await gateway.listening
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.match(gateway.stdout(), /password: \S{20,}/)
  t.notMatch(gateway.stdout(), 'curl')
  t.notMatch(gateway.stdout(), SECRET)
})

async function login(url: string, password: string): Promise<string> {
  const reply = await fetch(`${url}/api/v1/chat/authenticate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password })
  })
  const { access_token = '' }: { access_token?: string } = JSON.parse(await reply.text())
  return access_token
}

/** Every line but the banner is JSON, one 'request completed' per request, and none holds a secret. */
function checkLog(t: Test, stdout: string, secrets: string[]): void {
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  const entries = lines.map((line): Record<string, unknown> => JSON.parse(line))
  const completed = entries.filter(({ msg }) => msg === 'request completed')
  t.ok(completed.length >= 4)
  for (const entry of completed) t.match(entry, { request_id: String, method: String, route: String, status: Number })
  t.ok(completed.some(({ route }) => route === '/api/v1/chat/predict/stream'))
  for (const line of lines) for (const secret of secrets) t.notOk(line.includes(secret))
  t.notOk(
    lines.some((line) => line.includes('who are you')),
    'no question is logged'
  )
}
