/** What of one answer is in the history: parts of it while it comes, the whole when it has ended, one write after the other. */
export interface Keeper {
  /** Stores what there is so far. Rejects when that cannot be done now. */
  keep(): Promise<void>
  /** Resolves when the whole answer is stored; rejects when the first try failed. */
  readonly first: Promise<void>
  /**
   * Resolves when what is asked of the store now, in this turn, cannot become durable without the answer: where the store keeps
   * the order that is as soon as the answer was asked for, elsewhere it is `first`.
   */
  readonly ahead: Promise<void>
  /** Resolves when the whole answer is stored, by whichever try. */
  readonly durable: Promise<void>
  /** Stores the whole by `store`, or else by `storeLater`; resolves after the first try. */
  finish(store: () => Promise<void>, storeLater: (error: unknown) => Promise<void>): Promise<void>
}

export interface KeeperOptions {
  /** Stores what there is of the answer, and is told how often it was asked to, from 1. */
  storePart: (part: number) => Promise<void>
  /** Whether writes become durable in the order in which they were asked for. */
  isInOrder: boolean
}

/** Keeps one answer. */
export function createKeeper({ storePart, isInOrder }: KeeperOptions): Keeper {
  const first = Promise.withResolvers<void>()
  const ahead = Promise.withResolvers<void>()
  const durable = Promise.withResolvers<void>()
  let storing: Promise<void> | undefined
  let part = 0
  let isFinishing = false
  let isDurable = false
  // Whoever does not ask must not be told by an unhandled rejection.
  first.promise.catch(() => {})
  ahead.promise.catch(() => {})
  durable.promise.catch(() => {})

  async function storeOnce(store: () => Promise<void>): Promise<void> {
    const tried = store()
    first.resolve(tried)
    // The whole in the place of a part takes a look first, and its write comes later.
    ahead.resolve(isInOrder && part === 0 ? undefined : tried)
    await tried
    isDurable = true
  }

  return {
    first: first.promise,
    ahead: ahead.promise,
    durable: durable.promise,
    async keep() {
      if (isDurable) return
      if (isFinishing) throw new Error('The answer is not stored yet')
      const stored = (storing ?? Promise.resolve()).then(() => storePart(++part))
      storing = stored.catch(() => {})
      await stored
    },
    async finish(store, storeLater) {
      isFinishing = true
      // No part may come after the whole.
      if (storing) await storing
      try {
        await storeOnce(store)
        durable.resolve()
      } catch (error) {
        durable.resolve(
          storeLater(error).then(() => {
            isDurable = true
          })
        )
      }
    }
  }
}
