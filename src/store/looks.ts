import type { Clock } from '../clock.ts'
import type { CountOf, Marks } from './port.ts'

/** When a look is repeated, if somebody asks. */
const REFRESH_MS = 500
/** Who comes later reads: of many who wait for a store that hangs, it must be able to refuse most. */
const SHARE_MS = 50

/** What the marks of the rows said. */
export interface Look {
  /** What it says held then, or later. */
  beganAt: number
  countOf: CountOf
}

/** Looks at the marks, one after the other. */
export interface Looks {
  /** The last one that was answered. */
  last(): Look | undefined
  /** For every request: begins one before the last is too old, so that in a gateway in use nobody waits for it. */
  keepUp(): void
  /** One that began less than `maxAgeMs` ago, or has just begun; else undefined. */
  recent(maxAgeMs: number): Look | undefined | Promise<Look | undefined>
}

/** Looks at these marks, where a store has any. */
export function createLooks(marks: Marks | undefined, clock: Clock): Looks {
  let last: Look | undefined
  let running: { beganAt: number; answer: Promise<Look | undefined> } | undefined

  async function look(source: Marks, beganAt: number): Promise<Look | undefined> {
    try {
      last = { beganAt, countOf: await source.look() }
      return last
    } catch {
      return undefined
    } finally {
      running = undefined
    }
  }

  const isWithin = (ms: number, from: { beganAt: number } | undefined, now: number): boolean =>
    from !== undefined && Math.abs(now - from.beganAt) < ms

  function keepUp(): void {
    const now = clock.now()
    if (marks && !running && !isWithin(REFRESH_MS, last, now)) running = { beganAt: now, answer: look(marks, now) }
  }

  return {
    last: () => last,
    keepUp,
    recent(maxAgeMs) {
      const now = clock.now()
      if (isWithin(maxAgeMs, last, now)) return last
      return isWithin(SHARE_MS, running, now) ? running?.answer : undefined
    }
  }
}
