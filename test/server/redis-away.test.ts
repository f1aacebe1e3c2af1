import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { until } from '../contract/bus.ts'
import { withRedis } from '../servers/redis.ts'
import { environment, startProcess } from './gateway-process.ts'

// On a busy machine the starts and the logins take long.
t.setTimeout(300_000)

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
