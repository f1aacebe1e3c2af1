import { once } from 'node:events'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startProcess } from './gateway-process.ts'

const SECRET = 'a-secret-of-more-than-thirty-two-bytes'

/** A free port, so that no two tests meet. */
const environment = (t: Test, more: Record<string, string> = {}) => ({
  DATA_DIR: join(t.testdir(), 'data'),
  PORT: '0',
  ...more
})

t.test('a start with nothing configured', async (t) => {
  const env = environment(t)
  const startedAt = performance.now()
  const gateway = startProcess(t, env)
  const url = await gateway.listening
  const seconds = (performance.now() - startedAt) / 1000
  t.ok(seconds < 3, `listens after ${seconds.toFixed(2)} s`)

  t.equal((await fetch(`${url}/health`)).status, 200)
  t.match(await (await fetch(`${url}/info`)).json(), { upstream: 'demo' })
  t.equal(statSync(env.DATA_DIR).mode & 0o777, 0o700)
  t.equal(statSync(join(env.DATA_DIR, 'jwt-secret')).mode & 0o777, 0o600)

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

t.test('production without its variables names all of them and does not start', async (t) => {
  const gateway = startProcess(t, environment(t, { NODE_ENV: 'production', PORT: 'eighty', JWT_ALGORITHM: 'none' }))
  t.equal(await gateway.exit, 1)
  for (const name of ['JWT_SECRET_KEY', 'FLOWISE_API_URL', 'PORT', 'JWT_ALGORITHM']) t.match(gateway.stderr(), name)
  t.equal(gateway.stdout(), '')
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

t.test('a port that is taken, and a folder that cannot be written, are named', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const address = other.address()
  const port = String(typeof address === 'object' ? address?.port : 0)
  const taken = startProcess(t, environment(t, { HOST: '127.0.0.1', PORT: port }))
  t.equal(await taken.exit, 1)
  t.match(taken.stderr(), /^PORT /)
  other.close()

  const folder = t.testdir({ file: 'not a folder' })
  for (const DATA_DIR of [join(folder, 'file'), join(folder, 'file', 'below'), '/proc/nowhere/data', '/proc']) {
    const unusable = startProcess(t, { PORT: '0', DATA_DIR })
    t.equal(await unusable.exit, 1, DATA_DIR)
    t.match(unusable.stderr(), /^DATA_DIR .*\n$/, DATA_DIR)
  }
})

t.test('a damaged secret file is named', async (t) => {
  const env = environment(t)
  const first = startProcess(t, env)
  await first.listening
  first.child.kill('SIGTERM')
  await first.exit
  const path = join(env.DATA_DIR, 'jwt-secret')
  t.ok(readFileSync(path, 'utf8').length >= 32)
  chmodSync(path, 0o600)
  writeFileSync(path, 'short')
  const second = startProcess(t, env)
  t.equal(await second.exit, 1)
  t.match(second.stderr(), 'jwt-secret is damaged')
})

t.test('the command line explains itself', async (t) => {
  const help = startProcess(t, {}, ['src/cli.ts'])
  t.equal(await help.exit, 0)
  t.match(help.stderr(), 'create-admin')
  const unknown = startProcess(t, {}, ['src/cli.ts', 'nonsense'])
  t.equal(await unknown.exit, 1)
  const env = environment(t)
  const created = startProcess(t, env, ['src/cli.ts', 'create-admin', 'root', 'root@example.com'])
  t.equal(await created.exit, 0)
  t.match(created.stdout(), /Administrator root, password \S{20,}/)
  const twice = startProcess(t, env, ['src/cli.ts', 'create-admin', 'root', 'root@example.com'])
  t.equal(await twice.exit, 1)
  const missing = startProcess(t, { DATA_DIR: join(env.DATA_DIR, 'nowhere') }, ['src/cli.ts', 'verify'])
  t.equal(await missing.exit, 1)
  t.notMatch(missing.stderr(), '    at ')
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
