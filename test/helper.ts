import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compare, hash } from 'bcryptjs'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { buildApp, type Parts } from '../src/app.ts'
import { openBlobs } from '../src/blobs/open.ts'
import { createLocalBus } from '../src/bus/local.ts'
import { type Clock, createSystemClock } from '../src/clock.ts'
import { type Config, loadConfig } from '../src/config.ts'
import { createIds } from '../src/ids.ts'
import type { Role } from '../src/store/collections.ts'
import type { MongoAddress } from '../src/store/mongo/connect.ts'
import { openStore } from '../src/store/open.ts'
import { startMongo } from './servers/mongodb.ts'
import { type StandIn, startStandIn } from './stand-in/flowise.ts'

export const ADMIN = { username: 'admin', password: 'the admin password', email: 'admin@example.com' } as const
export const PASSWORD = 'a user password'

/** What tests may replace; everything else is as in production. */
export interface TestAppOptions {
  env?: Record<string, string>
  parts?: Partial<Parts>
  clock?: Clock
}

export interface TestUser {
  id: string
  username: string
  email: string
  password: string
  token: string
}

export interface NewTestUser {
  username?: string
  role?: Role
  /** Credits granted by the administrator. */
  credits?: number
  /** Chatflow ids. */
  grants?: string[]
}

export type Send = (
  method: NonNullable<InjectOptions['method']>,
  url: string,
  options?: { token?: string; body?: unknown; headers?: Record<string, string> }
) => Promise<LightMyRequestResponse>

export interface TestApp {
  app: FastifyInstance
  config: Config
  dataDir: string
  standIn: StandIn
  admin: TestUser
  /** Sends a request without a socket; a body that is no string or Buffer becomes JSON. */
  request: Send
  /** The token reply of a login; the test fails when it is refused. */
  login(username: string, password: string): Promise<{ access_token: string; refresh_token: string }>
  createUser(user?: NewTestUser): Promise<TestUser>
  /** Opens a free port; answers the base URL. Only for what needs a socket: streams, aborts, broken requests. */
  listen(): Promise<string>
}

/**
 * The gateway as buildApp makes it, with a store in a temporary folder, a Flowise that does as it is told, a synced
 * catalogue and an administrator. All is closed and removed when the test ends.
 */
export async function buildTestApp(t: Test, options: TestAppOptions = {}): Promise<TestApp> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gateway-test-'))
  const clock = options.clock ?? createSystemClock()
  const standIn = await startStandIn()
  const config = loadConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    DATA_DIR: dataDir,
    JWT_SECRET_KEY: 'only-for-tests-only-for-tests-only-for-tests',
    FLOWISE_API_URL: standIn.url,
    FLOWISE_API_KEY: 'flowise-test-key',
    ENABLE_CHATFLOW_SYNC: 'false',
    DRAIN_SECONDS: '1',
    ...options.env
  })
  const store = options.parts?.store ?? (await openStore({ dataDir, mongodb: await testMongo(t) }, { mode: 'serve' }))
  const app = await buildApp(config, {
    clock,
    ids: createIds(),
    store,
    blobs: await openBlobs({ dataDir, mongo: store.mongo }, clock),
    bus: createLocalBus(clock),
    bcrypt: cheapBcrypt(),
    jwtSecret: config.jwt.secret ?? '',
    flowiseUrl: config.flowise.url ?? '',
    isDemo: false,
    logger: false,
    ...options.parts
  })
  t.teardown(async () => {
    await app.close()
    await standIn.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  await app.ready()
  await app.chatflowSync.run({ confirm: false })

  const request: Send = (method, url, { token, body, headers = {} } = {}) => {
    const isRaw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
    return app.inject({
      method,
      url,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(isRaw ? {} : { 'content-type': 'application/json' }),
        ...headers
      },
      ...(body === undefined ? {} : { payload: isRaw ? body : JSON.stringify(body) })
    })
  }

  /** The JSON of a reply that must be a success. */
  async function expect(reply: Promise<LightMyRequestResponse>): Promise<Record<string, string>> {
    const { statusCode, body } = await reply
    if (statusCode >= 300) throw new Error(`A step of the test set-up was refused: ${statusCode} ${body}`)
    return JSON.parse(body)
  }

  async function login(username: string, password: string) {
    const reply = await expect(request('POST', '/api/v1/chat/authenticate', { body: { username, password } }))
    return { access_token: reply.access_token ?? '', refresh_token: reply.refresh_token ?? '' }
  }

  const row = await app.users.create({
    username: ADMIN.username,
    email: ADMIN.email,
    role: 'admin',
    passwordHash: await app.passwords.hash(ADMIN.password)
  })
  const { access_token } = await login(ADMIN.username, ADMIN.password)
  const admin = { ...ADMIN, id: row.id, token: access_token }
  let created = 0

  return {
    app,
    config,
    dataDir,
    standIn,
    admin,
    request,
    login,
    async createUser({ username = `user-${++created}`, role = 'user', credits, grants = [] } = {}) {
      const email = `${username}@example.com`
      const body = { username, email, password: PASSWORD, role, ...(credits === undefined ? {} : { credits }) }
      const { id = '' } = await expect(
        request('POST', '/api/v1/admin/users', {
          token: admin.token,
          body,
          headers: { 'idempotency-key': `test-${username}` }
        })
      )
      for (const chatflowId of grants)
        await expect(
          request('POST', `/api/v1/admin/chatflows/${chatflowId}/users`, { token: admin.token, body: { user_id: id } })
        )
      return { id, username, email, password: PASSWORD, token: (await login(username, PASSWORD)).access_token }
    },
    listen: () => app.listen({ host: '127.0.0.1', port: 0 })
  }
}

/** With TEST_STORE=mongodb the whole application is tested on MongoDB instead of SQLite. */
async function testMongo(t: Test): Promise<MongoAddress | undefined> {
  if (process.env.TEST_STORE !== 'mongodb') return undefined
  const server = await startMongo(t)
  if (!server) throw new Error('TEST_STORE=mongodb, and there is no MongoDB: see `node test/servers/build.ts`')
  return { url: server.url, database: server.database }
}

/** The real algorithm at its lowest cost: tests log in often. */
function cheapBcrypt(): NonNullable<Parts['bcrypt']> {
  return {
    hash: (password) => hash(password, 4),
    compare: (password, stored) => compare(password, stored),
    close: async () => {}
  }
}
