import type { Clock } from '../src/clock.ts'

export interface FakeClock extends Clock {
  /** Moves the time forward and runs, in order, the timers that fall due on the way. */
  advance(ms: number): void
  /** When the next timer is due (epoch ms), if there is one. */
  nextAt(): number | undefined
}

/** A clock that stands still until a test moves it. */
export function createFakeClock(startMs = 1_700_000_000_000): FakeClock {
  let now = startMs
  let count = 0
  const timers = new Map<number, { at: number; run: () => void }>()

  function next(): [number, { at: number; run: () => void }] | undefined {
    // Equal times keep the order of their making: the sort is stable and a Map keeps insertion order.
    return [...timers].sort(([, a], [, b]) => a.at - b.at)[0]
  }

  return {
    now: () => now,
    after(delayMs, run) {
      const id = count++
      timers.set(id, { at: now + Math.max(0, delayMs), run })
      return () => {
        timers.delete(id)
      }
    },
    advance(ms) {
      const end = now + ms
      for (let due = next(); due && due[1].at <= end; due = next()) {
        const [id, timer] = due
        timers.delete(id)
        now = Math.max(now, timer.at)
        timer.run()
      }
      now = end
    },
    nextAt: () => next()?.[1].at
  }
}
