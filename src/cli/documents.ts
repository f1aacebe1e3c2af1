import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
import { coverageDocument } from '../openapi/coverage.ts'
import { openStore } from '../store/open.ts'
import type { Command } from './command.ts'

/** The endpoints of the documents of the older services, and the tests that prove them. */
const DOCUMENTED = 'test/gates/documented-endpoints.json'
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
  process.stdout.write((await documents()).files.get(path) ?? '')
  return 0
}

async function writeDocuments(): Promise<number> {
  const { files, gaps } = await documents()
  for (const [path, content] of files) {
    if (committed(path) === content) continue
    writeFileSync(join(ROOT, path), content)
    process.stdout.write(`${path} rewritten\n`)
  }
  return reportGaps(gaps)
}

async function checkDocuments(): Promise<number> {
  const { files, gaps } = await documents()
  const stale = [...files].filter(([path, content]) => committed(path) !== content)
  for (const [path] of stale)
    process.stderr.write(`${path} is out of date: run npm run snap and review the difference\n`)
  return reportGaps(gaps) + stale.length === 0 ? 0 : 1
}

/** An exit code: what no test proves is as wrong as a document that is out of date. */
function reportGaps(gaps: string[]): number {
  for (const gap of gaps) process.stderr.write(`${gap}: write it, or name it in ${DOCUMENTED}\n`)
  return gaps.length === 0 ? 0 : 1
}

function committed(path: string): string | undefined {
  const file = join(ROOT, path)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

/** The generated files, from an application that is built, asked and thrown away: no port, no outside world. */
async function documents(): Promise<{ files: Map<string, string>; gaps: string[] }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gateway-docs-'))
  const app = await buildScratchApp(dataDir)
  try {
    await app.ready()
    const table = app.printRoutes({ includeHooks: true, commonPrefix: false })
    const document = app.swagger()
    const { text: coverage, gaps } = readCoverage({ ...document.paths })
    const readme = committed('README.md')
    return { files: generatedFiles({ routes: table, openapi: document, statusOf, readme, coverage }), gaps }
  } finally {
    await app.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

/** Nothing in an image without the tests. */
function readCoverage(paths: object): { text: string | undefined; gaps: string[] } {
  const documented = committed(DOCUMENTED)
  if (documented === undefined) return { text: undefined, gaps: [] }
  const files = globSync('test/**/*.test.ts', { cwd: ROOT }).toSorted()
  const tests = files.map((path) => ({ path, text: committed(path) ?? '' }))
  return coverageDocument({ paths, tests, documented: JSON.parse(documented) })
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
