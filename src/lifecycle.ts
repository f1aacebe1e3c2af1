import type { Clock } from './clock.ts'

/** How long the end of aborted runs and of background work may take before the shutdown goes on without them. */
const SETTLE_MS = 10_000

/** Whether the process is still serving, and what it must not leave behind. */
export interface Lifecycle {
  readonly isDraining: boolean
  /** Aborts when running predictions have had their grace time. */
  readonly drainSignal: AbortSignal
  /** Refuses new predictions, gives the running ones `drainMs`, then aborts `drainSignal` and waits for what is left. */
  beginDrain(): Promise<void>
  /** The same without grace time, and ends the repeating jobs. */
  close(): Promise<void>
  /** The shutdown waits for this work; a rejection is reported, and still reaches whoever awaits the result. */
  track<T>(work: Promise<T>): Promise<T>
  /** A running prediction: the shutdown gives it the grace time. */
  run(work: Promise<unknown>): void
  /** Repeats `work`, the first time after one interval; it never overlaps itself and survives its errors. */
  every(intervalMs: number, name: string, work: () => Promise<void>): void
}

export interface LifecycleOptions {
  clock: Clock
  drainMs: number
  /** Told of everything that failed with nobody waiting for it. */
  onError: (name: string, error: unknown) => void
}

/** The lifecycle of one process. */
export function createLifecycle({ clock, drainMs, onError }: LifecycleOptions): Lifecycle {
  const graceEnded = new AbortController()
  const runs = new Set<Promise<unknown>>()
  const tracked = new Set<Promise<unknown>>()
  const cancelJobs = new Set<() => void>()
  let isClosed = false
  let draining: Promise<void> | undefined

  function keep(set: Set<Promise<unknown>>, name: string, work: Promise<unknown>) {
    const watched = work.then(leave, (error: unknown) => {
      leave()
      onError(name, error)
    })
    function leave(): void {
      set.delete(watched)
    }
    set.add(watched)
  }

  async function waitFor(limitMs: number, ...sets: Set<Promise<unknown>>[]): Promise<void> {
    const limit = Promise.withResolvers<void>()
    const cancel = clock.after(limitMs, limit.resolve)
    await Promise.race([limit.promise, whenEmpty(sets)])
    cancel()
  }

  async function drain(): Promise<void> {
    await waitFor(drainMs, runs)
    graceEnded.abort()
    await waitFor(SETTLE_MS, runs, tracked)
  }

  return {
    get isDraining() {
      return draining !== undefined
    },
    drainSignal: graceEnded.signal,
    beginDrain() {
      draining ??= drain()
      return draining
    },
    async close() {
      isClosed = true
      for (const cancel of cancelJobs) cancel()
      graceEnded.abort()
      draining ??= Promise.resolve()
      await waitFor(SETTLE_MS, runs, tracked)
    },
    track(work) {
      keep(tracked, 'background work', work)
      return work
    },
    run(work) {
      keep(runs, 'prediction', work)
    },
    every(intervalMs, name, work) {
      let cancel = () => {}
      const schedule = () => {
        if (isClosed) return
        cancel = clock.after(intervalMs, () => {
          // Tracked before it starts, so that a shutdown waits for the round that is under way.
          keep(tracked, name, Promise.resolve().then(work).finally(schedule))
        })
      }
      cancelJobs.add(() => cancel())
      schedule()
    }
  }
}

async function whenEmpty(sets: Set<Promise<unknown>>[]): Promise<void> {
  while (sets.some((set) => set.size > 0)) await Promise.all(sets.flatMap((set) => [...set]))
}
