import { type Clock, pause } from './clock.ts'

export interface RepeatOptions {
  clock: Clock
  /** Before each repetition. */
  pausesMs: readonly number[]
  /** Hears of each failure that a repetition follows. */
  onRetry?: (error: unknown) => void
}

/** Repeats work that has failed with `error` until it is done; rejects with the last failure when all repetitions were in vain. */
export async function repeat(
  work: () => Promise<unknown>,
  error: unknown,
  { clock, pausesMs, onRetry }: RepeatOptions
): Promise<void> {
  let last = error
  for (const ms of pausesMs) {
    onRetry?.(last)
    await pause(clock, ms)
    try {
      await work()
      return
    } catch (again) {
      last = again
    }
  }
  throw last
}
