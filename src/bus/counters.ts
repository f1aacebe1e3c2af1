import type { Clock } from '../clock.ts'
import { createExpiringMap } from './expiring-map.ts'
import type { Counted } from './port.ts'

/** Counters of one process, by the rules of the port. */
export function createCounters(clock: Clock, maxEntries: number) {
  const counters = createExpiringMap<{ value: number; expiresAt: number }>(clock, maxEntries)
  return {
    count(key: string, windowMs: number, by: number): Counted {
      const now = clock.now()
      const running = counters.get(key, now)
      const counter = running ?? { value: 0, expiresAt: now + windowMs }
      counter.value += by
      if (!running && by !== 0) counters.set(key, counter)
      return { value: counter.value, resetMs: counter.expiresAt - now }
    },
    /** Takes over what a counter stands at elsewhere. */
    adopt(key: string, { value, resetMs }: Counted): void {
      if (value !== 0) counters.set(key, { value, expiresAt: clock.now() + resetMs })
    },
    clear: () => counters.clear()
  }
}
