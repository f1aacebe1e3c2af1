import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { MongoClient } from 'mongodb'
import { type Clock, createSystemClock } from '../clock.ts'
import { makeFolder } from '../folder.ts'
import { createIds } from '../ids.ts'
import { collections, migrations } from './collections.ts'
import { lockDirectory } from './lock.ts'
import type { Calls } from './mongo/calls.ts'
import type { MongoAddress } from './mongo/connect.ts'
import type { Store } from './port.ts'
import { refuseUnfinished } from './move.ts'
import { isInForm } from './sqlite/connection.ts'
import { hasLeft } from './sqlite/redo-logs.ts'
import { createSqliteStore } from './sqlite/store.ts'
import { migrate, refuseNewer } from './versions.ts'

/** Where the data of an installation is: in this MongoDB, or else in this folder. */
export interface Place {
  dataDir: string
  mongodb?: MongoAddress | undefined
}

export interface OpenOptions {
  /**
   * `serve`: to write. `inspect`: a look from outside, also while the gateway runs; nothing is made or brought forward.
   * `fill`: to write also where a move has not been finished.
   */
  mode: 'serve' | 'inspect' | 'fill'
}

export interface OpenedStore extends Store {
  /** The connection beneath, for what the port does not cover. */
  mongo?: { client: MongoClient; database: string; calls: Calls }
}

/**
 * Opens the store of this installation, in the form of this version. Fails with a sentence for the operator when it cannot be
 * reached, when another process serves the same directory, or when a newer gateway has written it; nothing is changed then.
 */
export async function openStore({ dataDir, mongodb }: Place, { mode }: OpenOptions): Promise<OpenedStore> {
  const clock = createSystemClock()
  const check = mode === 'fill' ? checkForm : checkWhole
  if (mongodb) return mode === 'inspect' ? inspectMongo(mongodb, clock) : serveMongo(mongodb, { clock, check })
  return mode === 'inspect' ? inspectSqlite(dataDir) : serveSqlite(dataDir, { clock, check })
}

interface ServeOptions {
  clock: Clock
  /** Fails when the store is none for this gateway. Reads only. */
  check: (store: Store) => Promise<void>
}

async function serveSqlite(dataDir: string, { clock, check }: ServeOptions): Promise<Store> {
  const path = join(dataDir, 'gateway.db')
  makeFolder(dataDir)
  const unlock = lockDirectory(dataDir)
  try {
    // What fails here fails once more where it matters.
    await bringIn(path).catch(() => undefined)
    // Read before a table is touched: a store that is too new stays as it is.
    if (existsSync(path))
      await (await checked(createSqliteStore({ path, specs: collections, readOnly: true }), check)).close()
    const store = await forward(createSqliteStore({ path, specs: collections }), clock)
    return {
      ...store,
      async close() {
        await store.close()
        unlock()
      }
    }
  } catch (error) {
    unlock()
    throw error
  }
}

async function inspectSqlite(dataDir: string): Promise<Store> {
  const path = join(dataDir, 'gateway.db')
  if (!existsSync(path)) throw new Error(`There is no gateway data in ${dataDir}.`)
  await finish(dataDir, path)
  return checked(createSqliteStore({ path, specs: collections, readOnly: true }), checkWhole)
}

/** Makes sure that one who only looks sees all that a gateway has left. */
async function finish(dataDir: string, path: string): Promise<void> {
  if (!hasLeft(path)) return
  let unlock: (() => void) | undefined
  try {
    unlock = lockDirectory(dataDir)
    await bringIn(path)
  } catch {
    // A gateway runs, which does it at once; or nobody may write here, and the look is one at a moment before.
  } finally {
    unlock?.()
  }
}

/** Brings into the file what a gateway that died has left in its logs, if its tables are those of this version. */
async function bringIn(path: string): Promise<void> {
  if (hasLeft(path) && isInForm({ path, specs: collections }))
    await createSqliteStore({ path, specs: collections }).close()
}

async function serveMongo(address: MongoAddress, { clock, check }: ServeOptions): Promise<OpenedStore> {
  const { store, mongo, makeIndexes } = await connected(address, clock)
  await checked(store, check)
  await makeIndexes()
  return { ...(await forward(store, clock)), mongo }
}

async function inspectMongo(address: MongoAddress, clock: Clock): Promise<OpenedStore> {
  const { store, mongo } = await connected(address, clock)
  return { ...(await checked(store, checkWhole)), mongo }
}

async function connected(address: MongoAddress, clock: Clock) {
  const { connectMongo } = await import('./mongo/connect.ts')
  const { store, client, calls, makeIndexes } = await connectMongo(address, { specs: collections, clock })
  return { store, mongo: { client, database: address.database, calls }, makeIndexes }
}

async function forward(store: Store, clock: Clock): Promise<Store> {
  return orClosed(store, () => migrate(store, { specs: collections, migrations, clock, owner: createIds().run() }))
}

async function checked(store: Store, check: ServeOptions['check']): Promise<Store> {
  return orClosed(store, async () => {
    try {
      await check(store)
    } catch (error) {
      // A first start that was killed leaves a file without tables.
      if (!isWithoutTables(error)) throw error
    }
  })
}

async function checkForm(store: Store): Promise<void> {
  await refuseNewer(store, collections)
}

async function checkWhole(store: Store): Promise<void> {
  await checkForm(store)
  await refuseUnfinished(store)
}

async function orClosed(store: Store, work: () => Promise<void>): Promise<Store> {
  try {
    await work()
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

function isWithoutTables(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.message.startsWith('no such table')
}
