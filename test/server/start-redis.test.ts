import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { until } from '../contract/bus.ts'
import { withRedis } from '../servers/redis.ts'
import { environment, startProcess } from './gateway-process.ts'

const SECRET = 'never-shown'

async function portOf(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** The process ends by itself, soon, with one sentence that names the variable and nothing secret. */
async function refused(t: Test, url: string, reason: RegExp): Promise<void> {
  const startedAt = performance.now()
  const gateway = startProcess(t, environment(t, { REDIS_URL: url }))
  t.equal(await gateway.exit, 1, url)
  const seconds = (performance.now() - startedAt) / 1000
  t.ok(seconds < 10, `${seconds.toFixed(1)} s, the start of the process included`)
  t.match(gateway.stderr(), reason)
  t.match(gateway.stderr(), /REDIS_URL/)
  t.equal(gateway.stderr().trim().split('\n').length, url.startsWith('redis') ? 1 : 2)
  t.notMatch(gateway.stderr() + gateway.stdout(), SECRET)
}

t.test('a Redis that is none is told at the start', async (t) => {
  const http = await portOf(
    t,
    createHttpServer((_request, response) => response.end('hello'))
  )
  const silent = await portOf(
    t,
    createServer((socket) => socket.on('error', () => {}).resume())
  )
  const closing = await portOf(
    t,
    createServer((socket) => socket.on('error', () => {}).end())
  )
  const login = `user:${SECRET}@`
  await refused(t, `redis://${login}127.0.0.1:1`, /127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\)/)
  await refused(t, `redis://${login}redis.invalid`, /redis\.invalid:6379 cannot be reached/)
  await refused(t, `http://${login}127.0.0.1:${http}`, /must start with redis:\/\/ or rediss:\/\//)
  await refused(t, `redis://${login}127.0.0.1:${http}`, /what answers at 127\.0\.0\.1:\d+ is not Redis/)
  await refused(t, `redis://${login}127.0.0.1:${silent}`, /127\.0\.0\.1:\d+ does not answer in time/)
  await refused(t, `rediss://${login}127.0.0.1:${silent}`, /127\.0\.0\.1:\d+ does not answer in time/)
  await refused(t, `redis://${login}127.0.0.1:${closing}`, /127\.0\.0\.1:\d+ closes the connection/)
  await refused(t, `redis://${login}127.0.0.1:${silent}/first`, /must be redis\[s\]:\/\//)
  await refused(t, `redis://${login}127.0.0.1:${silent}?commandTimeout=9`, /must be redis\[s\]:\/\//)
})

void withRedis(
  t,
  'a wrong password, user or database is told at the start',
  async (t, redis) => {
    const { host } = new URL(redis.url)
    for (const login of ['', `:${SECRET}@`, `default:${SECRET}@`, `nobody:${SECRET}@`])
      await refused(t, `redis://${login}${host}`, /does not accept its user name or password/)
    await refused(t, `${redis.url}/99`, /DB index is out of range/)
  },
  { settings: { requirepass: 'the right one' } }
)

void withRedis(
  t,
  'Redis that goes away makes the gateway unready, not useless; it comes back without a restart',
  async (t, redis) => {
    const gateway = startProcess(t, environment(t, { REDIS_URL: redis.url }))
    const url = await gateway.listening
    const ready = async () => {
      const reply = await fetch(`${url}/ready`)
      return { status: reply.status, body: await reply.json() }
    }
    t.match(await ready(), { status: 200, body: { status: 'ready', checks: { redis: 'ok' } } })
    const token = await login(url, /password: (\S+)/.exec(gateway.stdout())?.[1] ?? '')
    const ask = async () =>
      fetch(`${url}/api/v1/chat/predict`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ chatflow_id: DEMO_IDS.echo, question: 'hi' })
      })
    t.equal((await ask()).status, 200)

    for (const [stop, start] of [
      [redis.stop, redis.restart],
      [redis.pause, redis.resume]
    ] as const) {
      await stop()
      await until(async () => (await ready()).status === 503)
      t.match(await ready(), { body: { status: 'not_ready', checks: { store: 'ok', redis: 'down' } } })
      const startedAt = performance.now()
      t.equal((await ask()).status, 200, 'predictions go on')
      t.ok(performance.now() - startedAt < 5000)
      t.match(await (await fetch(`${url}/metrics`)).text(), /^gateway_bus_up 0$/m)
      await start()
      await until(async () => (await ready()).status === 200)
      t.match(await (await fetch(`${url}/metrics`)).text(), /^gateway_bus_up 1$/m)
      t.equal((await ask()).status, 200)
    }

    await redis.stop()
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.exit, 0)
    t.equal(gateway.stderr(), '')
    const lines = gateway.stdout().split('\n')
    const told = (text: string) => lines.filter((line) => line.includes(text)).length
    // Three; a machine under load may make another that is short.
    t.ok(told('Redis is away') >= 2 && told('Redis is away') <= 6, 'once per outage')
    t.ok(told('Redis is back') >= 2 && told('Redis is back') <= 5)
    t.equal(told('background work failed'), 0)
  },
  { control: true }
)

async function login(url: string, password: string): Promise<string> {
  const reply = await fetch(`${url}/api/v1/chat/authenticate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password })
  })
  const { access_token = '' }: { access_token?: string } = JSON.parse(await reply.text())
  return access_token
}
