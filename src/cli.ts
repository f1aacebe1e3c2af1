import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { statusOf } from '../plugins/problem.ts'
import { buildApp } from './app.ts'
import { createBcryptThread } from './auth/bcrypt.ts'
import { createPasswords } from './auth/passwords.ts'
import { createUsers } from './auth/users.ts'
import { createLocalBus } from './bus/local.ts'
import { createSystemClock } from './clock.ts'
import { loadConfig, loadConfigFromProcess } from './config.ts'
import { verifyLedger } from './credits/verify.ts'
import { generatedFiles } from './docs.ts'
import { createIds } from './ids.ts'
import { openStore } from './store/open.ts'

const USAGE = `Usage: node src/cli.ts <command>
  create-admin <username> <e-mail>   makes an administrator and prints the password; the gateway must be stopped
  verify                             checks that the ledger adds up; also while the gateway runs
  routes                             prints the route table with its hooks
  openapi                            prints the OpenAPI document
  docs [--check]                     rewrites the generated documents, or fails when one is out of date
`
const ROOT = join(import.meta.dirname, '..')

await run(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
)

/** The exit code of the command. */
async function run([command = 'help', ...options]: string[]): Promise<number> {
  switch (command) {
    case 'create-admin':
      return createAdmin(options)
    case 'verify':
      return verify()
    case 'routes':
    case 'openapi':
      process.stdout.write(
        (await documents()).get(command === 'routes' ? 'docs/routes.txt' : 'docs/openapi.json') ?? ''
      )
      return 0
    case 'docs':
      return options.includes('--check') ? checkDocuments() : writeDocuments()
    default:
      process.stderr.write(USAGE)
      return command === 'help' ? 0 : 1
  }
}

async function createAdmin([username, email]: string[]): Promise<number> {
  if (username === undefined || email === undefined) throw new Error(USAGE)
  const { dataDir } = loadConfigFromProcess()
  process.umask(0o077)
  const ids = createIds()
  const store = await openStore({ dataDir }, { mode: 'serve' })
  const bcrypt = createBcryptThread()
  try {
    const password = ids.secret()
    const passwordHash = await createPasswords(bcrypt).hash(password)
    const users = createUsers({ store, clock: createSystemClock(), ids })
    await users.create({ username, email, role: 'admin', passwordHash })
    process.stdout.write(`Administrator ${username}, password ${password} (shown only this once)\n`)
    return 0
  } finally {
    await bcrypt.close()
    await store.close()
  }
}

async function verify(): Promise<number> {
  const store = await openStore({ dataDir: loadConfigFromProcess().dataDir }, { mode: 'inspect' })
  try {
    const { accountsChecked, entriesChecked, problems } = await verifyLedger(store)
    for (const { accountId, invariant, detail } of problems)
      process.stdout.write(`account ${accountId}: ${invariant} ${detail}\n`)
    process.stdout.write(`${accountsChecked} accounts, ${entriesChecked} entries, ${problems.length} problems\n`)
    return problems.length === 0 ? 0 : 1
  } finally {
    await store.close()
  }
}

async function writeDocuments(): Promise<number> {
  for (const [path, content] of await documents()) {
    if (committed(path) === content) continue
    writeFileSync(join(ROOT, path), content)
    process.stdout.write(`${path} rewritten\n`)
  }
  return 0
}

async function checkDocuments(): Promise<number> {
  const stale = [...(await documents())].filter(([path, content]) => committed(path) !== content)
  for (const [path] of stale)
    process.stderr.write(`${path} is out of date: run npm run snap and review the difference\n`)
  return stale.length === 0 ? 0 : 1
}

function committed(path: string): string | undefined {
  const file = join(ROOT, path)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

/** The generated files, from an application that is built, asked and thrown away: no port, no outside world. */
async function documents(): Promise<Map<string, string>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gateway-docs-'))
  const app = await buildScratchApp(dataDir)
  try {
    await app.ready()
    const routes = app.printRoutes({ includeHooks: true, commonPrefix: false })
    return generatedFiles({ routes, openapi: app.swagger(), statusOf, readme: committed('README.md') })
  } finally {
    await app.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

async function buildScratchApp(dataDir: string): Promise<FastifyInstance> {
  const clock = createSystemClock()
  const config = loadConfig({ NODE_ENV: 'test', ENABLE_CHATFLOW_SYNC: 'false' })
  return buildApp(config, {
    clock,
    ids: createIds(),
    store: await openStore({ dataDir }, { mode: 'serve' }),
    bus: createLocalBus(clock),
    jwtSecret: createIds().secret(),
    flowiseUrl: 'http://127.0.0.1:9',
    isDemo: false,
    logger: false
  })
}
