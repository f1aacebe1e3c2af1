import type { AddressInfo } from 'node:net'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { buildApp, type Parts } from './app.ts'
import { ensureFirstAdmin } from './auth/first-admin.ts'
import { keptSecret } from './auth/kept-secret.ts'
import { banner } from './banner.ts'
import { openBlobs } from './blobs/open.ts'
import { openBus } from './bus/open.ts'
import { createSystemClock } from './clock.ts'
import { type Config, ConfigError, loadConfigFromProcess } from './config.ts'
import { type DemoFlowise, startDemoFlowise } from './flowise/demo.ts'
import { DEMO_IDS } from './flowise/demo-flows.ts'
import { createIds } from './ids.ts'
import { loggerOptions, standardOutput } from './logger.ts'
import { createSecureEdge } from './secure-server.ts'
import { openStore } from './store/open.ts'
import { openKeyPair } from './tls.ts'

/** Beyond the grace time of running predictions: aborting, settling and storing what is left. */
const CLOSE_MS = 25_000
const OLDEST_NODE = [24, 12] as const
/** What the file system and the store say when the folder is of no use. */
const FOLDER_CODES = [
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOENT',
  'ENOTDIR',
  'EEXIST',
  'ENOSPC',
  'ERR_SQLITE_ERROR',
  'store_unavailable'
]
const STARTER_MICRO = 1_000_000_000

/** Runs the gateway of this process; the first failure of the start ends it. */
export async function serve(): Promise<void> {
  await start().catch((error: unknown) => {
    process.stderr.write(`${sentenceFor(error)}\n`)
    process.exit(1)
  })
}

/** Configuration, parts, application, first administrator, port: in this order, and the first failure ends the process. */
async function start(): Promise<void> {
  checkNode(process.versions.node)
  // All that is written holds hashes and conversations: for the user of this process only, also in a folder for many.
  process.umask(0o077)
  const config = loadConfigFromProcess()
  const demo = config.flowise.url === undefined ? await startDemoFlowise() : undefined
  const app = await buildApp(config, await openParts(config, demo))
  for (const warning of config.warnings) app.log.warn(warning)
  app.addHook('onClose', async function closeDemo() {
    await demo?.close()
  })
  closeWithGrace({ delay: config.drainMs + CLOSE_MS, logger: false, skip: ['beforeExit'] }, async ({ err, signal }) => {
    if (err) app.log.fatal({ err }, 'unexpected fault, closing')
    else {
      const drained = app.lifecycle.beginDrain()
      app.parts.tls?.drain()
      app.log.info({ signal }, 'shutdown begins')
      await drained
    }
    await app.close()
    app.log.info('closed')
  })
  const admin = await ensureFirstAdmin({ users: app.users, passwords: app.passwords, config, ids: app.ids })
  if (demo && !app.accounting) await grantStarterCredits(app, config.admin.username)
  const url = await listen(app, config)
  process.stdout.write(
    banner({
      url,
      isProduction: config.isProduction,
      isDemo: demo !== undefined,
      username: config.auth.mode === 'external' ? '<username>' : (admin?.username ?? config.admin.username),
      generatedPassword: admin?.generatedPassword,
      chatflowId: demo && DEMO_IDS.storyteller
    })
  )
}

async function openParts(config: Config, demo: DemoFlowise | undefined): Promise<Parts> {
  const clock = createSystemClock()
  const ids = createIds()
  const tls = config.tls && createSecureEdge(await openKeyPair(config.tls), clock)
  // The lock of the folder comes first: two first starts must not both generate a secret.
  const store = await openStore(config, { mode: 'serve' })
  return {
    clock,
    ids,
    store,
    blobs: await openBlobs({ dataDir: config.dataDir, mongo: store.mongo }, clock),
    bus: await openBus({ redisUrl: config.redisUrl, store, clock, ids }),
    jwtSecret: config.jwt.secret ?? keptSecret(config.dataDir, ids),
    flowiseUrl: config.flowise.url ?? demo?.url ?? '',
    isDemo: demo !== undefined,
    tls,
    logger: { ...loggerOptions(config.logLevel), stream: standardOutput() }
  }
}

/** The demo should answer before anybody has read about credits; the key makes it happen once. */
async function grantStarterCredits(app: FastifyInstance, username: string): Promise<void> {
  app.log.warn('no FLOWISE_API_URL: the built-in demo answers, not Flowise')
  const admin = await app.users.findByUsername(username)
  if (!admin) return
  await app.ledger.open(admin.id, app.config.credits.openingMicro)
  await app.ledger.change(admin.id, {
    key: 'demo-starter',
    kind: 'grant',
    amountMicro: STARTER_MICRO,
    note: 'starter credits of the demo'
  })
}

async function listen(app: FastifyInstance, { host, port, tls }: Config): Promise<string> {
  const scheme = tls ? 'https' : 'http'
  // The address comes with the scheme of Fastify's own servers.
  const text = (address: string) => `listening on ${address.replace(/^http:/, `${scheme}:`)}`
  await app.listen({ host, port, listenTextResolver: text })
  const bound = app.server.address()
  const isAny = host === '0.0.0.0' || host === '::'
  const name = isAny ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return `${scheme}://${name}:${isAddress(bound) ? bound.port : port}`
}

function isAddress(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === 'object' && address !== null
}

/** Type stripping and the embedded SQLite are the reason; versions too old to read this file complain by themselves. */
function checkNode(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_NODE
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return
  throw new Error(
    `Node ${version} is too old: ${OLDEST_NODE.join('.')} or newer is needed. Run npm start, which brings its own.`
  )
}

/** One sentence for the operator; the stack only for what nobody foresaw. */
function sentenceFor(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof ConfigError) return error.message
  const code = 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return 'PORT is in use by another process: stop that one or set another PORT.'
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return 'HOST is not an address of this machine.'
  if (code === 'EACCES' && 'syscall' in error && error.syscall === 'listen')
    return 'PORT may not be opened by this user: set one above 1023.'
  if (code === 'store_unavailable' && !isOfSqlite(error.cause))
    return `MONGODB_URL: MongoDB ceased to answer during the start (${reasonOf(error)}).`
  if (typeof code === 'string' && FOLDER_CODES.includes(code)) return `DATA_DIR cannot be used: ${reasonOf(error)}`
  return error.name === 'Error' && code === undefined ? error.message : (error.stack ?? error.message)
}

function isOfSqlite(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ERR_SQLITE_ERROR'
}

function reasonOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message
}
