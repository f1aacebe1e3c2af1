import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { statusOf } from '../../plugins/problem.ts'
import { buildApp } from '../app.ts'
import { openBlobs } from '../blobs/open.ts'
import { createLocalBus } from '../bus/local.ts'
import { createSystemClock } from '../clock.ts'
import { loadConfig } from '../config.ts'
import { generatedFiles } from '../docs.ts'
import { createIds } from '../ids.ts'
import { openStore } from '../store/open.ts'
import type { Command } from './command.ts'

const ROOT = join(import.meta.dirname, '../..')

/** The route table: what a review of the security model reads. */
export const routes: Command = {
  summary: 'prints the route table with its hooks',
  run: () => print('docs/routes.txt')
}

/** The document that /openapi.json serves. */
export const openapi: Command = {
  summary: 'prints the OpenAPI document',
  run: () => print('docs/openapi.json')
}

/** The committed documents that are made from code. */
export const docs: Command = {
  options: { check: true },
  summary: 'rewrites the generated documents, or fails when one is out of date',
  run: ({ options }) => (options.check === true ? checkDocuments() : writeDocuments())
}

async function print(path: string): Promise<number> {
  process.stdout.write((await documents()).get(path) ?? '')
  return 0
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
    const table = app.printRoutes({ includeHooks: true, commonPrefix: false })
    return generatedFiles({ routes: table, openapi: app.swagger(), statusOf, readme: committed('README.md') })
  } finally {
    await app.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

async function buildScratchApp(dataDir: string): Promise<FastifyInstance> {
  const clock = createSystemClock()
  const config = loadConfig({ NODE_ENV: 'test', ENABLE_CHATFLOW_SYNC: 'false', DATA_DIR: dataDir })
  const store = await openStore(config, { mode: 'serve' })
  return buildApp(config, {
    clock,
    ids: createIds(),
    store,
    blobs: await openBlobs({ dataDir, mongo: store.mongo }, clock),
    bus: createLocalBus(clock),
    jwtSecret: createIds().secret(),
    flowiseUrl: 'http://127.0.0.1:9',
    isDemo: false,
    logger: false
  })
}
