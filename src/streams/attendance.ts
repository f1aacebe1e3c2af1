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
  let abandon = onAbandoned
  let present = 0
  let isClosed = false
  let cancel = () => {}

  function left(): void {
    present--
    if (present > 0 || isClosed) return
    if (continueMs === 0) abandon()
    else cancel = clock.after(continueMs, abandon)
  }

  return {
    join() {
      present++
      cancel()
      let isThere = true
      return () => {
        if (isThere) left()
        isThere = false
      }
    },
    close() {
      isClosed = true
      cancel()
      // Clients may stay longer than the run, and hold nothing of it.
      abandon = () => {}
    }
  }
}
