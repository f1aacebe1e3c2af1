import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { collections, SCHEMA_VERSION } from './collections.ts'
import type { MetaRow } from './collections.ts'
import { lockDirectory } from './lock.ts'
import type { Store } from './port.ts'
import { createSqliteStore } from './sqlite/store.ts'

const VERSION_ID = 'schema_version'

export interface OpenOptions {
  /** `serve`: the one process that writes. `inspect`: a look from outside, also while the gateway runs; writes fail. */
  mode: 'serve' | 'inspect'
}

/**
 * Opens the store of this installation. Fails with a sentence for the operator when another process serves the same
 * directory, or when a newer gateway has written it; nothing is changed then.
 */
export async function openStore({ dataDir }: { dataDir: string }, { mode }: OpenOptions): Promise<Store> {
  const path = join(dataDir, 'gateway.db')
  if (mode === 'inspect') {
    if (!existsSync(path)) throw new Error(`There is no gateway data in ${dataDir}.`)
    return checked(createSqliteStore({ path, specs: collections, readOnly: true }))
  }
  makeDirectory(resolve(dataDir))
  const unlock = lockDirectory(dataDir)
  try {
    const store = existsSync(path) ? await upgraded(path) : createSqliteStore({ path, specs: collections })
    await store.collection<MetaRow>('meta').insert({ id: VERSION_ID, value: SCHEMA_VERSION })
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

/** Parents first, by hand: Node's own recursive form never returns where a parent takes no entries, as in /proc. */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

/** The version is read before a table is touched: a store that is too new stays as it is. */
async function upgraded(path: string): Promise<Store> {
  const before = await checked(createSqliteStore({ path, specs: collections, readOnly: true }))
  await before.close()
  return createSqliteStore({ path, specs: collections })
}

async function checked(store: Store): Promise<Store> {
  const version = await storedVersion(store)
  if (version <= SCHEMA_VERSION) return store
  await store.close()
  throw new Error(
    `The data was written by a newer gateway (schema ${version}, this one knows ${SCHEMA_VERSION}). Install that version or restore a backup.`
  )
}

async function storedVersion(store: Store): Promise<number> {
  try {
    const row = await store.collection<MetaRow>('meta').get(VERSION_ID)
    return typeof row?.value === 'number' ? row.value : 0
  } catch (error) {
    // A first start that was killed leaves a file without tables.
    if (error instanceof Error && error.cause instanceof Error && error.cause.message.startsWith('no such table'))
      return 0
    throw error
  }
}
