import { once } from 'node:events'
import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { withRedis } from '../servers/redis.ts'
import { environment, startProcess } from './gateway-process.ts'

const SECRET = 'never-shown'

/** The process ends by itself, with one sentence that names the variable and nothing secret. */
async function refused(t: Test, url: string, reason: RegExp): Promise<void> {
  const gateway = startProcess(t, environment(t, { REDIS_URL: url }))
  t.equal(await gateway.exit, 1, url)
  t.match(gateway.stderr(), 'REDIS_URL')
  t.match(gateway.stderr(), reason)
  t.notMatch(gateway.stderr(), '    at ')
  t.notMatch(gateway.stderr() + gateway.stdout(), SECRET)
}

t.test('the start is refused where nothing answers, or something else', async (t) => {
  const http = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1')
  await once(http, 'listening')
  t.teardown(() => void http.close())
  const address = http.address()
  const port = typeof address === 'object' ? address?.port : 0
  await refused(t, `redis://:${SECRET}@127.0.0.1:1`, /ECONNREFUSED/)
  await refused(t, `redis://:${SECRET}@127.0.0.1:${port}`, /is not Redis/)
  await refused(t, `http://:${SECRET}@127.0.0.1:${port}`, /must start with redis:\/\/ or rediss:\/\//)
})

void withRedis(
  t,
  'the start is refused with a wrong password',
  async (t, redis) => {
    const { host } = new URL(redis.url)
    await refused(t, `redis://:${SECRET}@${host}`, /does not accept its user name or password/)
  },
  { settings: { requirepass: 'the right one' } }
)
