import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { type Available, findRedis } from './available.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'
import { registerServerTest } from './server-test.ts'

const CLEAN_BATCH = 500

export interface RedisOptions {
  /** The test stops, restarts or halts the server: never the shared one of TEST_REDIS_URL. */
  control?: boolean
  /** Lines of redis.conf, as `{ requirepass: 'secret' }`; they make the server one of the test's own. */
  settings?: Record<string, string>
}

export interface RedisServer extends Omit<ServerProcess, 'port'> {
  /** What test names call it. */
  name: string
  /** With the password of `settings`, if there is one. */
  url: string
  /** For keys and channels of this server's test alone. */
  prefix: string
  /** Another one, so that one server serves many tests. Keys that contain one are removed at the end. */
  freshPrefix(): string
  /** False for a shared server: stop, restart, pause and resume throw then. */
  canRestart: boolean
}

/** A Redis server for this test, empty at every start; undefined if there is none to be had. */
export async function startRedis(t: Test, options: RedisOptions = {}): Promise<RedisServer | undefined> {
  const found = findFor(options)
  if (found === undefined) return undefined
  return 'url' in found ? useShared(t, found.url) : startOwn(t, found.program, options.settings)
}

/**
 * Registers a subtest with a Redis server of its own. Without a server it is skipped, with the reason, or fails where
 * REQUIRE_SERVERS=1 is set.
 */
export function withRedis(
  t: Test,
  title: string,
  run: (t: Test, redis: RedisServer) => Promise<void>,
  options: RedisOptions = {}
): Promise<unknown> {
  const found = findFor(options)
  return registerServerTest(t, {
    title: `${title} (${found && 'url' in found ? 'Redis of TEST_REDIS_URL' : 'redis-server'})`,
    missing: found === undefined ? 'no Redis: see the lines of `node test/servers/build.ts`' : undefined,
    start: (t) => startRedis(t, options),
    run
  })
}

function findFor({ control = false, settings }: RedisOptions): Available | undefined {
  const isOwn = control || settings !== undefined
  return isOwn ? findRedis({ ...process.env, TEST_REDIS_URL: '' }) : findRedis()
}

async function startOwn(t: Test, program: string, settings: Record<string, string> = {}): Promise<RedisServer> {
  const lines = Object.entries({ save: '', appendonly: 'no', ...settings })
  const login = settings.requirepass === undefined ? '' : `:${encodeURIComponent(settings.requirepass)}@`
  const urlOf = (port: number) => `redis://${login}127.0.0.1:${port}`
  const server = await startServerProcess(t, {
    name: 'redis',
    program,
    args: (port, dir) =>
      [...Object.entries({ bind: '127.0.0.1', port: String(port), dir }), ...lines].flatMap(([key, value]) => [
        `--${key}`,
        value
      ]),
    probe: (port) => withClient(urlOf(port), (client) => client.ping())
  })
  const own = { name: 'redis-server', url: urlOf(server.port), prefix: prefixName(), freshPrefix: prefixName }
  return Object.assign(server, { ...own, canRestart: true })
}

/** A server that others use too: what carries a prefix of this test is removed when the test ends. */
function useShared(t: Test, url: string): RedisServer {
  const prefixes: string[] = []
  const freshPrefix = () => {
    const prefix = prefixName()
    prefixes.push(prefix)
    return prefix
  }
  t.teardown(() =>
    withClient(url, async (client) => {
      for (const prefix of prefixes) await removeKeys(client, prefix)
    })
  )
  const refuse = (): never => {
    throw new Error("This server is not the test's own: ask for one with { control: true }")
  }
  return {
    name: 'Redis of TEST_REDIS_URL',
    url,
    prefix: freshPrefix(),
    freshPrefix,
    canRestart: false,
    pid: undefined,
    stop: async () => refuse(),
    restart: async () => refuse(),
    pause: refuse,
    resume: refuse
  }
}

async function removeKeys(client: Redis, prefix: string): Promise<void> {
  let cursor = '0'
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', `*${prefix}*`, 'COUNT', CLEAN_BATCH)
    if (keys.length > 0) await client.del(...keys)
    cursor = next
  } while (cursor !== '0')
}

const prefixName = () => `gateway-test-${randomBytes(6).toString('hex')}`

async function withClient(url: string, use: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 3 })
  client.on('error', () => {})
  try {
    await client.connect()
    await use(client)
  } finally {
    client.disconnect()
  }
}
