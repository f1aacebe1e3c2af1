import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { openStore } from '../../src/store/open.ts'
import type { Collection, Document, Store } from '../../src/store/port.ts'

/**
 * The real store, where `before` comes before each read and write of one document: a slow disk, or one that fails. As each
 * write waits for itself, it keeps no order, unless the test says that all of them fail together.
 */
export async function openTamperedStore(
  t: Test,
  before: (collection: string, kind: 'read' | 'write') => Promise<void>,
  { commitsInOrder = false }: { commitsInOrder?: boolean } = {}
): Promise<Store> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gateway-store-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const store = await openStore({ dataDir }, { mode: 'serve' })
  function tampered<D extends Document>(name: string, real: Collection<D>): Collection<D> {
    const guarded = async <T>(kind: 'read' | 'write', work: () => Promise<T>): Promise<T> => {
      await before(name, kind)
      return work()
    }
    return {
      ...real,
      get: (...given) => guarded('read', () => real.get(...given)),
      recent: (...given) => guarded('read', () => real.recent(...given)),
      insert: (...given) => guarded('write', () => real.insert(...given)),
      update: (...given) => guarded('write', () => real.update(...given)),
      updated: (...given) => guarded('write', () => real.updated(...given))
    }
  }
  return { ...store, commitsInOrder, collection: (name) => tampered(name, store.collection(name)) }
}
