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
  finish(store: () => Promise<unknown>, storeLater: (error: unknown) => Promise<void>): Promise<void>
}

export interface KeeperOptions {
  /** Stores what there is of the answer, and is told how often it was asked to, from 1. */
  storePart: (part: number) => Promise<void>
  /** Whether writes become durable in the order in which they were asked for. */
  isInOrder: boolean
}

/** How the first try to store the whole went. */
interface Tried {
  first: Promise<unknown>
  /** Whether what is asked for from now on comes behind it anyway. */
  isAhead: boolean
}

/** Keeps one answer. */
export function createKeeper(options: KeeperOptions): Keeper {
  return new AnswerKeeper(options)
}

/** A class, because each answer has one; most are asked for one of their promises only. */
class AnswerKeeper implements Keeper {
  readonly #options: KeeperOptions
  readonly #tried = Promise.withResolvers<Tried>()
  #storing: Promise<void> | undefined
  /** Set where the first try failed. */
  #later: Promise<void> | undefined
  #part = 0
  #isFinishing = false
  #isDurable = false

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  get first(): Promise<void> {
    return this.#tried.promise.then(async ({ first }) => {
      await first
    })
  }

  get ahead(): Promise<void> {
    return this.#tried.promise.then(({ isAhead }) => (isAhead ? undefined : this.first))
  }

  get durable(): Promise<void> {
    return this.first.catch(() => this.#later)
  }

  async keep(): Promise<void> {
    if (this.#isDurable) return
    if (this.#isFinishing) throw new Error('The answer is not stored yet')
    const stored = (this.#storing ?? Promise.resolve()).then(() => this.#options.storePart(++this.#part))
    this.#storing = stored.catch(() => {})
    await stored
  }

  async finish(store: () => Promise<unknown>, storeLater: (error: unknown) => Promise<void>): Promise<void> {
    this.#isFinishing = true
    // No part may come after the whole.
    if (this.#storing) await this.#storing
    const first = store()
    // The whole in the place of a part takes a look first, and its write comes later.
    this.#tried.resolve({ first, isAhead: this.#options.isInOrder && this.#part === 0 })
    try {
      await first
      this.#isDurable = true
    } catch (error) {
      this.#later = storeLater(error).then(() => {
        this.#isDurable = true
      })
      // Whoever does not ask must not be told by an unhandled rejection.
      this.#later.catch(() => {})
    }
  }
}
