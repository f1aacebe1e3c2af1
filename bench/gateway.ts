import { cp, mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { flows } from './flows.ts'
import { type BenchProcess, freePort, startProcess, whenListening } from './process.ts'

const ADMIN = { username: 'admin', password: 'the administrator of the bench' }
const PASSWORD = 'a user of the bench'
/** Enough for any number of rounds at one credit each. */
const CREDITS = 100_000_000
/** Accounts that are made at the same time: the passwords are hashed one after the other anyway. */
const AT_ONCE = 8

export const JWT_SECRET = 'only-for-the-bench-only-for-the-bench-only-for-the-bench'

/** Where everything is kept instead of the data folder. */
export interface MongoPlace {
  url: string
  database: string
}

export interface GatewayOptions {
  upstreamUrl: string
  dataDir: string
  mongo?: MongoPlace | undefined
  execArgv?: string[]
}

/** Where the data is, with users who may ask and can pay, and their access tokens. */
export interface Installation {
  dataDir: string
  mongo?: MongoPlace | undefined
  tokens: readonly string[]
  /** Of somebody who may ask and cannot pay. */
  poor: string
  /** Of somebody who can pay and may not ask. */
  stranger: string
}

/** The real process with everything on; only the limits on how often and how many at once are lifted. */
export async function startGateway({ upstreamUrl, dataDir, mongo, execArgv = [] }: GatewayOptions) {
  const port = await freePort()
  const line = await startLine()
  const gateway: BenchProcess = startProcess({
    script: line.at(-1) ?? '',
    core: 'measured',
    execArgv: [...line.slice(0, -1), ...execArgv],
    env: {
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATA_DIR: dataDir,
      ...(mongo === undefined ? {} : { MONGODB_URL: mongo.url, MONGODB_DATABASE_NAME: mongo.database }),
      LOG_LEVEL: 'info',
      JWT_SECRET_KEY: JWT_SECRET,
      ADMIN_USERNAME: ADMIN.username,
      ADMIN_PASSWORD: ADMIN.password,
      FLOWISE_API_URL: upstreamUrl,
      FLOWISE_API_KEY: 'key-of-the-bench',
      ENABLE_CHATFLOW_SYNC: 'false',
      RATE_LIMIT_PER_MINUTE: '0',
      MAX_CONCURRENT_PER_USER: '10000',
      DRAIN_SECONDS: '2'
    }
  })
  const listeningMs = await whenListening(gateway, port)
  return { ...gateway, url: `http://127.0.0.1:${port}`, listeningMs }
}

/** What `npm start` gives to Node: options, and the program. */
async function startLine(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(join(import.meta.dirname, '../package.json'), 'utf8'))
  return String(scripts.start).split(' ').slice(1)
}

/** Installs a gateway through its API, as an administrator would, and stops it again. */
export async function install(
  folder: string,
  upstreamUrl: string,
  users: number,
  mongo?: MongoPlace
): Promise<Installation> {
  const dataDir = await mkdtemp(join(folder, 'installed-'))
  const gateway = await startGateway({ upstreamUrl, dataDir, mongo })
  const post = createPost(gateway.url)
  const admin = await login(post, ADMIN.username, ADMIN.password)
  await post('/admin/chatflows/sync', {}, admin)
  const tokens: string[] = []
  while (tokens.length < users) {
    const names = Array.from(
      { length: Math.min(AT_ONCE, users - tokens.length) },
      (_, i) => `user-${tokens.length + i}`
    )
    tokens.push(...(await Promise.all(names.map((name) => createUser(post, admin, { name })))))
  }
  const poor = await createUser(post, admin, { name: 'poor', credits: 0 })
  const stranger = await createUser(post, admin, { name: 'stranger', grants: [] })
  await gateway.stop()
  return { dataDir, mongo, tokens, poor, stranger }
}

/** A copy of the installation: what one candidate writes does not slow down the next. */
export async function copyOf({ dataDir }: Pick<Installation, 'dataDir'>): Promise<string> {
  const copy = await mkdtemp(`${dataDir}-`)
  await cp(dataDir, copy, { recursive: true })
  return copy
}

type Post = (path: string, body: object, token?: string) => Promise<Record<string, unknown>>

function createPost(url: string): Post {
  return async function post(path, body, token) {
    const reply = await fetch(`${url}/api/v1${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': crypto.randomUUID(),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      },
      body: JSON.stringify(body)
    })
    const text = await reply.text()
    if (!reply.ok) throw new Error(`The set-up was refused: ${path} ${reply.status} ${text}`)
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  }
}

async function login(post: Post, username: string, password: string): Promise<string> {
  const { access_token } = await post('/chat/authenticate', { username, password })
  return String(access_token)
}

interface NewUser {
  name: string
  credits?: number
  /** Chatflows; by default all. */
  grants?: readonly string[]
}

async function createUser(post: Post, admin: string, user: NewUser): Promise<string> {
  const { name: username, credits = CREDITS, grants = Object.values(flows).map(({ id }) => id) } = user
  const email = `${username}@example.com`
  const { id } = await post('/admin/users', { username, email, password: PASSWORD, credits }, admin)
  for (const flow of grants) await post(`/admin/chatflows/${flow}/users`, { user_id: id }, admin)
  return login(post, username, PASSWORD)
}
