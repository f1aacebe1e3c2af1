import { join } from 'node:path'
import type { Test } from 'tap'
import { openBlobs } from '../../src/blobs/open.ts'
import { createSystemClock } from '../../src/clock.ts'
import type { UserRow } from '../../src/store/collections.ts'
import { openStore, type Place } from '../../src/store/open.ts'
import { ADMIN, buildTestApp, type TestApp } from '../helper.ts'
import { type GatewayProcess, startProcess } from '../server/gateway-process.ts'
import type { MongoServer } from '../servers/mongodb.ts'

/** Where an import goes to, and how the command is told. */
export interface Target {
  place: Place
  env: Record<string, string>
}

/** A new one of each kind of store. */
export function newTargets(t: Test, { url, freshDatabase }: MongoServer): Record<'SQLite' | 'MongoDB', Target> {
  const dataDir = join(t.testdir(), 'data')
  const database = freshDatabase()
  // A test server that takes writes one by one may take seconds for a queue of them.
  const patient = `${url}?waitQueueTimeoutMS=60000&socketTimeoutMS=60000`
  return {
    SQLite: { place: { dataDir }, env: { DATA_DIR: dataDir } },
    MongoDB: {
      place: { dataDir: '', mongodb: { url: patient, database } },
      env: { MONGODB_URL: patient, MONGODB_DATABASE_NAME: database }
    }
  }
}

/** Starts the command. */
export function startImport(t: Test, from: string, { env }: Target, options: string[] = []): GatewayProcess {
  return startProcess(t, env, ['src/cli.ts', 'import-proxy', '--from', from, ...options])
}

/** What the command printed; the test fails if it failed. */
export async function runImport(t: Test, from: string, target: Target, options: string[] = []): Promise<string> {
  const command = startImport(t, from, target, options)
  t.equal(await command.exit, 0, command.stderr())
  t.equal(command.stderr(), '')
  return command.stdout()
}

/** The lines of the table, as numbers by collection: read, imported, unchanged, skipped. */
export function countsIn(output: string): Record<string, number[]> {
  const lines = [...output.matchAll(/^(\w+) +(\d+) +(\d+) +(\d+) +(\d+)$/gm)]
  return Object.fromEntries(lines.map(([, name = '', ...counts]) => [name, counts.map(Number)]))
}

/** The gateway over what was imported, with an administrator; close it before the next import. */
export async function gatewayOver(t: Test, { place }: Target): Promise<TestApp> {
  const store = await openStore(place, { mode: 'serve' })
  const blobs = await openBlobs({ dataDir: place.dataDir, mongo: store.mongo }, createSystemClock())
  // Each gateway of a test makes its own administrator.
  const users = store.collection<UserRow>('users')
  const [admin] = await users.list({ where: { equal: { usernameKey: ADMIN.username } }, limit: 1 })
  if (admin) await users.remove(admin.id)
  return buildTestApp(t, { parts: { store, blobs } })
}
