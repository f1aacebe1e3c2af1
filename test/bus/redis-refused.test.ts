import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { withRedis } from '../servers/redis.ts'
import { openBusOn } from './redis-bus.ts'

const SECRET = 'never-shown'
const LOGIN = `user:${SECRET}@`

async function portOf(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Refused soon, in one sentence that names the variable and nothing secret. */
async function refused(t: Test, url: string, reason: RegExp): Promise<void> {
  const error: unknown = await openBusOn(t, url, 'gateway-test').then(
    () => undefined,
    (error: unknown) => error
  )
  const { message, cause } = Object(error)
  t.match(message, /^REDIS_URL cannot be used: .+\.$/)
  t.match(message, reason)
  t.notMatch(message, SECRET)
  t.equal(cause, undefined)
}

t.test('what is no Redis is refused', async (t) => {
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
  const startedAt = performance.now()
  await Promise.all([
    refused(t, `redis://${LOGIN}127.0.0.1:1`, /127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\)/),
    refused(t, `redis://${LOGIN}redis.invalid`, /redis\.invalid:6379 cannot be reached/),
    refused(t, `redis://${LOGIN}127.0.0.1:${http}`, /what answers at 127\.0\.0\.1:\d+ is not Redis/),
    refused(t, `redis://${LOGIN}127.0.0.1:${silent}`, /127\.0\.0\.1:\d+ does not answer in time/),
    refused(t, `rediss://${LOGIN}127.0.0.1:${silent}`, /127\.0\.0\.1:\d+ does not answer in time/),
    refused(t, `redis://${LOGIN}127.0.0.1:${closing}`, /127\.0\.0\.1:\d+ closes the connection/),
    refused(t, `redis://${LOGIN}127.0.0.1:${silent}/first`, /must be redis\[s\]:\/\//)
  ])
  const seconds = (performance.now() - startedAt) / 1000
  t.ok(seconds < 10, `${seconds.toFixed(1)} s`)
})

void withRedis(
  t,
  'a wrong password, user or database is refused',
  async (t, redis) => {
    const { host } = new URL(redis.url)
    for (const login of ['', `:${SECRET}@`, `default:${SECRET}@`, LOGIN])
      await refused(t, `redis://${login}${host}`, /does not accept its user name or password/)
    await refused(t, `${redis.url}/99`, /DB index is out of range/)
  },
  { settings: { requirepass: 'the right one' } }
)

void withRedis(
  t,
  'a Redis that takes no writes is refused',
  async (t, redis) => refused(t, redis.url, /refuses a command \(OOM /),
  { settings: { maxmemory: '1' } }
)
