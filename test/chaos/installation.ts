import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { MongoServer } from '../servers/mongodb.ts'
import type { RedisServer } from '../servers/redis.ts'
import { type Gateway, type Losses, startGateway } from './gateways.ts'
import { type Call, createLoadBalancer, type Send } from './load-balancer.ts'
import { end, findPort, startScript } from './program.ts'
import type { User } from './users.ts'

export const CHATFLOW_ID = 'c4a05000-0000-4000-8000-000000000001'
const SECRET = 'only-for-chaos-only-for-chaos-only-for-chaos'
const TOKEN_SECONDS = 86_400
const START_MS = 60_000
/** Three gateways together stay below the hundred connections that FerretDB has to its database. */
const POOL_SIZE = 20

/** Gateways over one store, with a Flowise behind them and users who may ask it. */
export interface Installation {
  gateways: Gateway[]
  send: Send
  users: User[]
  administrator: User
  losses: Losses
  /** How often Flowise ran each question. */
  runs(): Promise<Map<string, number>>
}

export interface InstallationOptions {
  gateways: number
  users: number
  /** Both or neither; without, one gateway on the embedded store. */
  mongo?: MongoServer
  redis?: RedisServer
  env?: Record<string, string>
  execArgv?: string[]
}

/** Starts it; all its processes end with the test. */
export async function startInstallation(t: Test, options: InstallationOptions): Promise<Installation> {
  const { mongo, redis } = options
  const folder = mkdtempSync(join(tmpdir(), 'gateway-chaos-'))
  const flowisePort = await findPort()
  const flowise = startScript([join(import.meta.dirname, 'stand-in.ts'), String(flowisePort)])
  const flowiseUrl = `http://127.0.0.1:${flowisePort}`
  const losses: Losses = { kills: 0, starts: 0, refusedStarts: 0, crashes: [], errors: new Map() }
  const gateways: Gateway[] = []
  t.teardown(async () => {
    for (const gateway of gateways) gateway.kill()
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    await end(flowise, 'SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  const env = {
    NODE_ENV: 'production',
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
    LOG_LEVEL: 'info',
    JWT_SECRET_KEY: SECRET,
    FLOWISE_API_URL: flowiseUrl,
    FLOWISE_API_KEY: 'key',
    ENABLE_CHATFLOW_SYNC: 'false',
    DEFAULT_CREDITS: '20',
    ...(mongo ? { MONGODB_URL: `${mongo.url}?maxPoolSize=${POOL_SIZE}`, MONGODB_DATABASE_NAME: mongo.database } : {}),
    ...(redis ? { REDIS_URL: redis.url } : {}),
    ...options.env
  }
  // One after the other: the first makes the store and its administrator.
  for (let number = 1; number <= options.gateways; number++) {
    const name = `gateway ${number}`
    const own = { name, env: { ...env, DATA_DIR: join(folder, `data-${number}`) }, execArgv: options.execArgv ?? [] }
    const gateway = await startGateway(own, losses)
    gateways.push(gateway)
    await started(gateway, losses)
  }
  const send = createLoadBalancer(gateways)
  const administrator = userOf('administrator', 'admin')
  const users = Array.from({ length: options.users }, (_, index) => userOf(`user-${index}`, 'user'))
  await assign(send, administrator, users)

  return {
    gateways,
    send,
    users,
    administrator,
    losses,
    async runs() {
      const runs: Record<string, number> = JSON.parse(await (await fetch(`${flowiseUrl}/runs`)).text())
      return new Map(Object.entries(runs))
    }
  }
}

/** A user whom the gateway meets first through a token of another service that shares its secret. */
function userOf(id: string, role: string): User {
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: id, username: id, role, type: 'access', iat: now, exp: now + TOKEN_SECONDS }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return { id, token: `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}` }
}

async function assign(send: Send, { token }: User, users: User[]): Promise<void> {
  const must = async (call: Call) => {
    const { status, text } = await send(call)
    if (status !== 200) throw new Error(`A step of the set-up was refused: ${call.path} ${status} ${text}`)
  }
  await must({ method: 'POST', path: '/admin/chatflows/sync', token, body: {} })
  for (const user of users) await must({ method: 'GET', path: '/chat/credits', token: user.token })
  const body = { user_ids: users.map(({ id }) => id) }
  await must({ method: 'POST', path: `/admin/chatflows/${CHATFLOW_ID}/users/bulk-add`, token, body })
}

async function started({ name, listening }: Gateway, { crashes }: Losses): Promise<void> {
  const isOver = new AbortController()
  const late = async () => {
    await wait(START_MS, undefined, { signal: isOver.signal })
    throw new Error(`${name} does not start: ${crashes.join('\n')}`)
  }
  await Promise.race([listening(), late()]).finally(() => isOver.abort())
}
