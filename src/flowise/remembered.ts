import type { Clock } from '../clock.ts'

export interface RememberedOptions<T> {
  clock: Clock
  ttlMs: number
  maxEntries: number
  /** Asks Flowise; what it throws is remembered by nobody. */
  lookup: (key: string) => Promise<T>
  /** Whether a value is worth its place; default: every one. */
  isKept?: (value: T) => boolean
}

/** Remembers what `lookup` said for a while; calls at the same time share one look-up, and the oldest entry makes room. */
export function createRemembered<T>(options: RememberedOptions<T>): (key: string) => Promise<T> {
  const { clock, ttlMs, maxEntries, lookup, isKept = () => true } = options
  const known = new Map<string, { value: T; until: number }>()
  const running = new Map<string, Promise<T>>()

  return async function remembered(key) {
    const entry = known.get(key)
    if (entry !== undefined && clock.now() < entry.until) return entry.value
    const shared = running.get(key) ?? ask(key)
    running.set(key, shared)
    return shared
  }

  async function ask(key: string): Promise<T> {
    const askedAt = clock.now()
    try {
      const value = await lookup(key)
      if (isKept(value)) remember(key, value, askedAt + ttlMs)
      return value
    } finally {
      running.delete(key)
    }
  }

  function remember(key: string, value: T, until: number): void {
    known.delete(key)
    known.set(key, { value, until })
    const [oldest] = known.keys()
    if (known.size > maxEntries && oldest !== undefined) known.delete(oldest)
  }
}
