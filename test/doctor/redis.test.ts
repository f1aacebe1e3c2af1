import t from 'tap'
import { readRedisAddress } from '../../src/bus/redis-address.ts'
import { judgeRedis, probeRedis } from '../../src/doctor/redis.ts'
import { withRedis } from '../servers/redis.ts'

const info = (members: Record<string, string>) =>
  `# Server\r\n${Object.entries({ redis_version: '7.0.15', maxmemory_policy: 'noeviction', role: 'master', ...members })
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join('')}`

t.test('what Redis says about itself is judged', async (t) => {
  const levels = (members: Record<string, string>) => judgeRedis(info(members), 'redis:6379').map(({ level }) => level)
  t.strictSame(levels({}), ['ok'])
  t.strictSame(levels({ maxmemory_policy: 'allkeys-lru' }), ['ok', 'warn'])
  t.strictSame(levels({ redis_version: '5.0.14' }), ['ok', 'warn'])
  t.strictSame(levels({ role: 'slave' }), ['ok', 'fail'])
})

t.test('nobody there', async (t) => {
  const findings = await probeRedis(readRedisAddress('redis://:swordfish@127.0.0.1:1'))
  t.match(findings, [{ area: 'redis', level: 'fail', text: 'no answer from 127.0.0.1:1: ECONNREFUSED' }])
})

withRedis(
  t,
  'a Redis with a password and a policy',
  async (t, redis) => {
    t.match(await probeRedis(readRedisAddress(redis.url)), [
      { level: 'ok', text: /^Redis \d/ },
      { level: 'warn', text: /maxmemory-policy allkeys-lru/ }
    ])
    const wrong = redis.url.replace('swordfish', 'catfish')
    const [finding, ...others] = await probeRedis(readRedisAddress(wrong))
    t.strictSame(others, [])
    t.match(finding, { level: 'fail', text: /WRONGPASS/ })
    t.notMatch(JSON.stringify(finding), 'catfish')
  },
  { settings: { requirepass: 'swordfish', 'maxmemory-policy': 'allkeys-lru' } }
)
