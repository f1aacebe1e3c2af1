import { AppError } from '../../src/errors.ts'
import type { Collection, Document, Store } from '../../src/store/port.ts'

/** What may become of an operation on its way. */
export interface Fates {
  /** 0 to below 1. */
  random(): number
  /** Resolves when the schedule lets this operation go on; never for a process that crashed. */
  turn(): Promise<void>
  /** Keeps a write that will land later, after its caller was told that the store is unavailable. */
  postpone(write: () => Promise<unknown>): void
}

/** The store as one process sees it on a bad day: answers get lost, writes are dropped or land late, reads fail. */
export function createHostileStore(store: Store, { random, turn, postpone }: Fates): Store {
  async function write(run: () => Promise<boolean>): Promise<boolean> {
    await turn()
    const fate = random()
    if (fate < 0.06) await run()
    else if (fate >= 0.09 && fate < 0.15) postpone(run)
    else if (fate >= 0.15) {
      const applied = await run()
      await turn()
      return applied
    }
    throw new AppError('store_unavailable')
  }

  async function read<T>(run: () => Promise<T>): Promise<T> {
    await turn()
    if (random() < 0.03) throw new AppError('store_unavailable')
    return run()
  }

  return {
    ...store,
    collection<D extends Document>(name: string): Collection<D> {
      const real = store.collection<D>(name)
      return {
        insert: (...args) => write(() => real.insert(...args)),
        update: (...args) => write(() => real.update(...args)),
        remove: (...args) => write(() => real.remove(...args)),
        get: (id) => read(() => real.get(id)),
        list: (query) => read(() => real.list(query)),
        count: (where) => read(() => real.count(where))
      }
    }
  }
}
