/** The time and its timers, as an argument, so that tests decide what time it is. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number
  /** Calls `run` once after `delayMs`, soon if that is negative; returns the function that cancels it. Never keeps the process alive. */
  after(delayMs: number, run: () => void): () => void
}

/** The longest timer there is (24.8 days); a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** The clock of the machine. */
export function createSystemClock(): Clock {
  return {
    now: () => Date.now(),
    after(delayMs, run) {
      // What is overdue is due at once; Node would warn of a negative delay.
      const timer = setTimeout(run, Math.max(0, Math.min(delayMs, MAX_DELAY_MS)))
      timer.unref()
      return () => clearTimeout(timer)
    }
  }
}

/** Resolves after `delayMs`; like every timer of the clock it does not keep the process alive. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(delayMs, resolve))
}

/** The instant as the API shows it: ISO 8601 in UTC with milliseconds and `Z`. */
export function isoInstant(epochMs: number): string {
  return new Date(epochMs).toISOString()
}
