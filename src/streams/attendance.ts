import type { Clock } from '../clock.ts'

/** Who is there for a run: the client that asked, and those who follow it. */
export interface Attendance {
  /** Somebody came; returns the function that says they left, which may be called twice. */
  join(): () => void
  /** Nobody needs to be there any more. */
  close(): void
}

/** Calls `onAbandoned` once, when for `continueMs` nobody was there; at once if that is 0. */
export function createAttendance(clock: Clock, continueMs: number, onAbandoned: () => void): Attendance {
  return new CountedAttendance(clock, continueMs, onAbandoned)
}

/** A class, because each run has one. */
class CountedAttendance implements Attendance {
  readonly #clock: Clock
  readonly #continueMs: number
  #abandon: (() => void) | undefined
  #present = 0
  #cancel: (() => void) | undefined

  constructor(clock: Clock, continueMs: number, onAbandoned: () => void) {
    this.#clock = clock
    this.#continueMs = continueMs
    this.#abandon = onAbandoned
  }

  join(): () => void {
    this.#present++
    this.#cancel?.()
    let isThere = true
    return () => {
      if (isThere) this.#left()
      isThere = false
    }
  }

  close(): void {
    this.#cancel?.()
    // Clients may stay longer than the run, and hold nothing of it.
    this.#abandon = undefined
  }

  #left(): void {
    this.#present--
    if (this.#present > 0 || !this.#abandon) return
    if (this.#continueMs === 0) this.#abandon()
    else this.#cancel = this.#clock.after(this.#continueMs, () => this.#abandon?.())
  }
}
