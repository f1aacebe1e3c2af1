import type { Clock } from '../clock.ts'
import type { Ledger } from './ledger.ts'

export interface SweeperOptions {
  ledger: Pick<Ledger, 'expireDue'>
  clock: Clock
  everyMs?: number
  onError: (error: unknown) => void
}

export interface Sweeper {
  start(): void
  /** Resolves when a sweep under way is done; none follows. */
  stop(): Promise<void>
  /** Sweeps now, or joins the sweep under way; answers how many holds it ended. Failures go to onError. */
  runOnce(): Promise<number>
}

/** Gives back the holds of processes that died, again and again, one sweep at a time. */
export function createSweeper({ ledger, clock, everyMs = 10_000, onError }: SweeperOptions): Sweeper {
  let running: Promise<number> | undefined
  let cancel: (() => void) | undefined

  function runOnce(): Promise<number> {
    running ??= sweep().finally(() => {
      running = undefined
    })
    return running
  }

  async function sweep(): Promise<number> {
    try {
      return await ledger.expireDue()
    } catch (error) {
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
