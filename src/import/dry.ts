import type { Blobs } from '../blobs/port.ts'
import type { Collection, Document, Store } from '../store/port.ts'

/** Of documents that others refer to, those that would have been made are remembered. */
const REMEMBERED = ['sessions']

/** The store as it is, or an empty one, that says of every write that it was done, and does none. */
export function createDryStore(store: Store | undefined): Store {
  const made = new Map<string, Map<string, Document>>(REMEMBERED.map((name) => [name, new Map()]))

  function collection<D extends Document>(name: string): Collection<D> {
    const rows = store?.collection<D>(name)
    const ours = made.get(name) as Map<string, D> | undefined
    const done = async () => true
    return {
      get: async (id) => ours?.get(id) ?? rows?.get(id),
      recent: async (id) => ours?.get(id) ?? rows?.get(id),
      list: async (query) => (await rows?.list(query)) ?? [],
      count: async (where) => (await rows?.count(where)) ?? 0,
      async insert(document) {
        ours?.set(document.id, document)
        return true
      },
      update: done,
      updated: async (id) => ours?.get(id) ?? rows?.get(id),
      remove: done
    }
  }

  return {
    kind: store?.kind ?? 'sqlite',
    commitsInOrder: store?.commitsInOrder ?? true,
    collection,
    ping: async () => store?.ping(),
    maintain: async () => {},
    close: async () => store?.close()
  }
}

/** Takes bytes and keeps none. */
export const dryBlobs: Pick<Blobs, 'write'> = {
  write: async (id) => ({ id, sizeBytes: 0, createdAt: 0 })
}
