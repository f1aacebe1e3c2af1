import { randomBytes } from 'node:crypto'
import { MongoClient } from 'mongodb'
import type { Test } from 'tap'
import { type Available, findMongo } from './available.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'
import { registerServerTest } from './server-test.ts'

const PROBE_TIMEOUT_MS = 10_000

export interface MongoOptions {
  /** The test stops, restarts or halts the server: never the shared one of TEST_MONGODB_URL. */
  control?: boolean
}

export interface MongoServer extends Omit<ServerProcess, 'port'> {
  /** What test names call it. */
  name: string
  /** Without a database. */
  url: string
  /** A database of this server's test alone. */
  database: string
  /** The name of another one, so that one server serves many tests. All of them are dropped at the end. */
  freshDatabase(): string
  /** False for a shared server: stop, restart, pause and resume throw then. */
  canRestart: boolean
}

/** A MongoDB server for this test; undefined if there is none to be had. */
export async function startMongo(t: Test, { control = false }: MongoOptions = {}): Promise<MongoServer | undefined> {
  const found = findFor(control)
  if (found === undefined) return undefined
  return 'url' in found ? useShared(t, found.url) : startOwn(t, found.program)
}

/**
 * Registers a subtest with a MongoDB server of its own. Without a server it is skipped, with the reason, or fails where
 * REQUIRE_SERVERS=1 is set.
 */
export function withMongo(
  t: Test,
  title: string,
  run: (t: Test, mongo: MongoServer) => Promise<void>,
  options: MongoOptions = {}
): Promise<unknown> {
  const found = findFor(options.control)
  return registerServerTest(t, {
    title: `${title} (${nameOf(found)})`,
    missing: found === undefined ? 'no MongoDB: see the lines of `node test/servers/build.ts`' : undefined,
    start: (t) => startMongo(t, options),
    run
  })
}

function findFor(control = false): Available | undefined {
  return control ? findMongo({ ...process.env, TEST_MONGODB_URL: '' }) : findMongo()
}

function nameOf(found: Available | undefined): string {
  if (found === undefined) return 'MongoDB'
  return 'url' in found ? 'MongoDB of TEST_MONGODB_URL' : 'FerretDB'
}

async function startOwn(t: Test, program: string): Promise<MongoServer> {
  const server = await startServerProcess(t, {
    name: 'ferretdb',
    program,
    args: (port, folder) => [`127.0.0.1:${port}`, folder],
    probe: (port) => withClient(urlOf(port), (client) => client.db('admin').command({ ping: 1 }))
  })
  const own = { name: 'FerretDB', url: urlOf(server.port), database: databaseName(), freshDatabase: databaseName }
  return Object.assign(server, { ...own, canRestart: true })
}

/** A server that others use too: databases of random names, dropped when the test ends. */
function useShared(t: Test, url: string): MongoServer {
  const names: string[] = []
  const freshDatabase = () => {
    const name = databaseName()
    names.push(name)
    return name
  }
  t.teardown(() =>
    withClient(url, async (client) => {
      for (const name of names) await client.db(name).dropDatabase()
    })
  )
  const refuse = (): never => {
    throw new Error("This server is not the test's own: ask for one with { control: true }")
  }
  return {
    name: 'MongoDB of TEST_MONGODB_URL',
    url,
    database: freshDatabase(),
    freshDatabase,
    canRestart: false,
    pid: undefined,
    stop: async () => refuse(),
    restart: async () => refuse(),
    pause: refuse,
    resume: refuse
  }
}

const urlOf = (port: number) => `mongodb://127.0.0.1:${port}/`

const databaseName = () => `gateway_test_${randomBytes(6).toString('hex')}`

async function withClient(url: string, use: (client: MongoClient) => Promise<unknown>): Promise<void> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: PROBE_TIMEOUT_MS })
  try {
    await use(client)
  } finally {
    await client.close()
  }
}
