import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { createSystemClock } from '../../src/clock.ts'
import { AppError } from '../../src/errors.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import { until } from '../contract/bus.ts'
import { type GatewayProcess, environment, startProcess } from '../server/gateway-process.ts'
import { type MongoServer, withMongo } from '../servers/mongodb.ts'
import { startWireProxy } from '../servers/wire-proxy.ts'

const AT_ONCE = 2000
/** Connections stand 10 s at most, and those who wait for one 2 s; then a server is looked for during 3 s. */
const LONGEST_MS = 20_000
const control = { control: true }
t.setTimeout(300_000)

interface Reply {
  status: number
  code: unknown
  retryAfter: string | undefined
}

async function start(t: Test, mongo: MongoServer) {
  const env = { MONGODB_URL: mongo.url, MONGODB_DATABASE_NAME: mongo.database, DEFAULT_CREDITS: '100' }
  const gateway = startProcess(t, environment(t, env))
  const base = await gateway.listening
  const agent = new Agent({ connections: AT_ONCE, headersTimeout: 60_000 })
  t.teardown(() => agent.destroy())
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  const replies: string[] = []

  async function ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Reply> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    const reply = await request(`${base}${path}`, { method, headers, dispatcher: agent, ...sent })
    const text = await reply.body.text()
    replies.push(text)
    const told: { code?: unknown; access_token?: string } = JSON.parse(text)
    if (told.access_token !== undefined) headers.authorization = `Bearer ${told.access_token}`
    return { status: reply.statusCode, code: told.code, retryAfter: reply.headers['retry-after']?.toString() }
  }

  const password = /password: (\S+)/.exec(gateway.stdout())?.[1] ?? ''
  t.equal((await ask('POST', '/api/v1/chat/authenticate', { username: 'admin', password })).status, 200)
  const read = () => ask('GET', '/api/v1/chat/credits')
  const write = () => ask('POST', '/api/v1/chat/predict', { chatflow_id: DEMO_IDS.echo, question: 'hi' })
  const isReady = async () => (await ask('GET', '/ready')).status === 200
  return { gateway, ask, read, write, isReady, replies }
}

const REFUSED = { status: 503, code: 'store_unavailable', retryAfter: '1' }

/** What went wrong is told by names and codes: no address, no stack, nothing of the driver's texts. */
async function endQuietly(t: Test, gateway: GatewayProcess, mongo: MongoServer, replies: string[]): Promise<void> {
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.equal(gateway.stderr(), '')
  const { port } = new URL(mongo.url)
  for (const text of [gateway.stdout(), replies.join('\n')]) {
    t.ok(text.length > 0)
    t.notMatch(text, `:${port}`)
    t.notMatch(text, 'mongodb://')
    t.notMatch(text, 'node_modules')
  }
  t.notMatch(replies.join('\n'), /Mongo/)
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

function memoryMiB({ child }: GatewayProcess): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1024
}

void withMongo(
  t,
  'a server that is killed: 503 for everybody, and all is well when it comes back',
  async (t, mongo) => {
    const { gateway, ask, read, write, isReady, replies } = await start(t, mongo)
    t.equal((await write()).status, 200)
    for (let outage = 0; outage < 2; outage++) {
      await mongo.stop()
      await until(async () => !(await isReady()))
      t.match(JSON.parse(replies.at(-1) ?? ''), { status: 'not_ready', checks: { store: 'down' } })
      for (const operation of [read, write]) {
        const ms = await took(async () => t.same(await operation(), REFUSED))
        t.ok(ms < LONGEST_MS, `${Math.round(ms)} ms`)
      }
      t.equal((await ask('GET', '/health')).status, 200)
      await mongo.restart()
      await until(isReady)
      await until(async () => (await read()).status === 200)
      t.equal((await write()).status, 200)
    }
    await endQuietly(t, gateway, mongo, replies)
  },
  control
)

void withMongo(
  t,
  'a server that hangs: two thousand requests at once all end, and no memory piles up',
  async (t, mongo) => {
    const { gateway, ask, read, write, isReady, replies } = await start(t, mongo)
    // The memory that so many connections need anyway.
    await Promise.all(Array.from({ length: AT_ONCE }, () => ask('GET', '/health')))
    const before = memoryMiB(gateway)
    mongo.pause()
    const ended: { reply: Reply; afterMs: number }[] = []
    const startedAt = performance.now()
    const all = Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        const reply = await read()
        ended.push({ reply, afterMs: performance.now() - startedAt })
      })
    )
    t.ok((await took(() => ask('GET', '/health'))) < 5000, 'who needs no store does not wait for it')
    const ms = await took(() => all)
    t.ok(ms < LONGEST_MS, `all ended after ${Math.round(ms)} ms`)
    t.equal(ended.filter(({ reply }) => reply.status === 503 && reply.retryAfter === '1').length, AT_ONCE)
    const growth = memoryMiB(gateway) - before
    t.ok(growth < 150, `${Math.round(growth)} MiB more`)
    t.same(await write(), REFUSED)
    mongo.resume()
    await until(isReady)
    await until(async () => (await read()).status === 200)
    t.equal((await write()).status, 200)
    await endQuietly(t, gateway, mongo, replies)
  },
  control
)

void withMongo(
  t,
  'with all connections in use some wait a moment, and the rest is refused at once',
  async (t, mongo) => {
    const proxy = await startWireProxy(t, mongo.url)
    const separator = proxy.url.includes('?') ? '&' : '?'
    const url = `${proxy.url}${separator}maxPoolSize=1&waitQueueTimeoutMS=500`
    const specs = [{ name: 'meta' }]
    const clock = createSystemClock()
    const { store } = await connectMongo({ url, database: mongo.database }, { specs, clock })
    t.teardown(() => store.close())
    const gate = Promise.withResolvers<void>()
    t.teardown(() => gate.resolve())
    proxy.decide = () => ({ delayAnswer: gate.promise })
    const reasons: string[] = []
    const startedAt = performance.now()
    const all = Array.from({ length: 100 }, async () => {
      try {
        await store.collection('meta').get('a')
      } catch (error) {
        t.ok(error instanceof AppError && error.code === 'store_unavailable' && error.params.retryAfterSeconds === 1)
        reasons.push(error instanceof AppError && error.cause instanceof Error ? error.cause.message : 'none')
      }
    })
    await until(() => reasons.length === 99)
    const ms = performance.now() - startedAt
    t.ok(ms < 5000, `${Math.round(ms)} ms`)
    gate.resolve()
    await Promise.all(all)
    t.equal(reasons.length, 99, 'the one that had the connection got its answer')
    const waited = reasons.filter((reason) => /WaitQueueTimeout/.test(reason))
    t.equal(waited.length, 19, 'twenty per connection are let in')
    t.same(new Set(reasons.slice(0, 80)), new Set(['Error']), 'and the others refused before any of those gave up')
    t.equal(await store.collection('meta').get('a'), undefined)
  }
)
