import type { Clock } from '../clock.ts'

interface Expiring {
  /** Epoch ms. */
  expiresAt: number
}

/** A map whose entries vanish when they expire; full, it drops what expires first. */
export function createExpiringMap<V extends Expiring>(clock: Clock, maxEntries: number) {
  const entries = new Map<string, V>()

  function makeRoom(): void {
    for (const [key, { expiresAt }] of entries) if (expiresAt <= clock.now()) entries.delete(key)
    if (entries.size < maxEntries) return
    // A tenth at once, so that a full map is not sorted for every new entry.
    const soonest = [...entries].sort(([, a], [, b]) => a.expiresAt - b.expiresAt)
    for (const [key] of soonest.slice(0, Math.ceil(maxEntries / 10))) entries.delete(key)
  }

  return {
    /** `now` spares those who have looked at the clock another look. */
    get(key: string, now = clock.now()): V | undefined {
      const value = entries.get(key)
      return value && value.expiresAt > now ? value : undefined
    },
    set(key: string, value: V): void {
      if (entries.size >= maxEntries && !entries.has(key)) makeRoom()
      entries.set(key, value)
    },
    /** What has not expired, as of now. */
    all: (): [string, V][] => [...entries].filter(([, { expiresAt }]) => expiresAt > clock.now()),
    delete: (key: string) => entries.delete(key),
    clear: () => entries.clear()
  }
}
