import { type Clock, pause } from './clock.ts'

export interface RepeatOptions {
  clock: Clock
  /** Before each repetition. */
  pausesMs: readonly number[]
  /** Hears of each failure that a repetition follows. */
  onRetry?: (error: unknown) => void
}

/** Before making again what another process was making at the same moment. */
const RACE_PAUSES_MS = [200, 400, 600, 800]

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

/**
 * Makes something that several processes may make at once, which can fail in all but one of them. `isRace` tells such a
 * failure from one that stays.
 */
export async function makeTogether(
  make: () => Promise<void>,
  { clock, isRace }: { clock: Clock; isRace: (error: unknown) => boolean }
): Promise<void> {
  for (const ms of RACE_PAUSES_MS) {
    try {
      return await make()
    } catch (error) {
      if (!isRace(error)) throw error
      await pause(clock, ms)
    }
  }
  await make()
}
