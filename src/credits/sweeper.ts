import type { Clock } from '../clock.ts'

export interface SweeperOptions {
  /** Ends the holds that were due then; undefined if another process does it. */
  expireDue: (dueAt: number) => Promise<number | undefined>
  clock: Clock
  everyMs?: number
  /** How long living processes may take to renew their holds when the store is back: longer than the time between two renewals. */
  graceMs: number
  onError: (error: unknown) => void
}

export interface Sweeper {
  start(): void
  /** The store was seen to be away: holds may have run out although their processes live. */
  doubt(): void
  /** Resolves when a sweep under way is done; none follows. */
  stop(): Promise<void>
  /** Sweeps now, or joins the sweep under way; answers how many holds it ended. Failures go to onError. */
  runOnce(): Promise<number>
}

/**
 * Gives back the holds of processes that died, again and again, one sweep at a time. While the store is away nobody can renew
 * a lease: what ran out in that time is ended only when its process has had time to renew it after all.
 */
export function createSweeper({ expireDue, clock, everyMs = 10_000, graceMs, onError }: SweeperOptions): Sweeper {
  let soundAt = clock.now()
  let trustedFrom = soundAt
  let isDoubted = false
  let running: Promise<number> | undefined
  let cancel: (() => void) | undefined

  function runOnce(): Promise<number> {
    running ??= sweep().finally(() => {
      running = undefined
    })
    return running
  }

  async function sweep(): Promise<number> {
    const now = clock.now()
    const dueAt = isDoubted || now < trustedFrom ? soundAt : now
    const wasDoubted = isDoubted
    isDoubted = false
    try {
      const ended = await expireDue(dueAt)
      if (ended === undefined) isDoubted ||= wasDoubted
      else if (wasDoubted) trustedFrom = clock.now() + graceMs
      else soundAt = dueAt
      return ended ?? 0
    } catch (error) {
      isDoubted = true
      onError(error)
      return 0
    }
  }

  function schedule(): void {
    cancel = clock.after(everyMs, () => {
      void runOnce().then(() => {
        // Stopped in the meantime: nothing is scheduled any more.
        if (cancel) schedule()
      })
    })
  }

  return {
    runOnce,
    doubt() {
      isDoubted = true
    },
    start() {
      if (!cancel) schedule()
    },
    async stop() {
      cancel?.()
      cancel = undefined
      await running
    }
  }
}
