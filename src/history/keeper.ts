/** What of one answer is in the history: parts of it while it comes, the whole when it has ended, one write after the other. */
export interface Keeper {
  /** Stores what there is so far. Rejects when that cannot be done now. */
  keep(): Promise<void>
  /** Resolves when the whole answer is stored; rejects when the first try failed. */
  readonly first: Promise<void>
  /** The same of all tries together. */
  readonly durable: Promise<void>
  /** Stores the whole by `store`, or else by `storeLater`; resolves after the first try. */
  finish(store: () => Promise<void>, storeLater: (error: unknown) => Promise<void>): Promise<void>
}

/** Keeps one answer; `storePart` stores what there is of it, and is told how often it was asked to, from 1. */
export function createKeeper(storePart: (part: number) => Promise<void>): Keeper {
  const first = Promise.withResolvers<void>()
  const durable = Promise.withResolvers<void>()
  let storing: Promise<void> = Promise.resolve()
  let part = 0
  let isFinishing = false
  let isDurable = false
  // Whoever does not ask must not be told by an unhandled rejection.
  first.promise.catch(() => {})
  durable.promise.then(
    () => {
      isDurable = true
    },
    () => {}
  )

  return {
    first: first.promise,
    durable: durable.promise,
    async keep() {
      if (isDurable) return
      if (isFinishing) throw new Error('The answer is not stored yet')
      const stored = storing.then(() => storePart(++part))
      storing = stored.catch(() => {})
      await stored
    },
    async finish(store, storeLater) {
      isFinishing = true
      // No part may come after the whole.
      await storing
      const tried = store()
      first.resolve(tried)
      await tried.then(durable.resolve, (error: unknown) => durable.resolve(storeLater(error)))
    }
  }
}
