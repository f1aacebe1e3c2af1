import type { Clock } from '../clock.ts'
import type { Bus } from './port.ts'

/** Counters and leases together; above it, expired entries go first, then those that would expire first. */
const MAX_ENTRIES = 100_000

interface Expiring {
  expiresAt: number
}

interface Counter extends Expiring {
  value: number
}

interface Lease extends Expiring {
  owner: string
}

/**
 * The bus of a single process: everything in memory, and bounded. `onError` hears of listeners that throw; they disturb nobody else.
 */
export function createLocalBus(
  clock: Clock,
  { maxEntries = MAX_ENTRIES, onError = () => {} }: { maxEntries?: number; onError?: (error: unknown) => void } = {}
): Bus {
  const listeners = new Map<string, Set<(message: string) => void>>()
  const counters = createExpiringMap<Counter>(clock, maxEntries)
  const leases = createExpiringMap<Lease>(clock, maxEntries)

  function tell(listener: (message: string) => void, message: string): void {
    try {
      listener(message)
    } catch (error) {
      onError(error)
    }
  }

  return {
    publish(channel, message) {
      // In a later turn, as with a bus over the network: a publisher never runs its subscribers' code.
      const audience = [...(listeners.get(channel) ?? [])]
      queueMicrotask(() => {
        for (const listener of audience) if (listeners.get(channel)?.has(listener)) tell(listener, message)
      })
    },
    subscribe(channel, listener) {
      // A wrapper per subscription, so that one function can subscribe twice and leave once.
      const own = (message: string) => listener(message)
      const audience = listeners.get(channel) ?? new Set()
      listeners.set(channel, audience.add(own))
      return () => {
        audience.delete(own)
        if (audience.size === 0 && listeners.get(channel) === audience) listeners.delete(channel)
      }
    },
    async count(key, windowMs, by = 1) {
      const now = clock.now()
      const counter = counters.get(key) ?? { value: 0, expiresAt: now + windowMs }
      counter.value += by
      if (by !== 0) counters.set(key, counter)
      return { value: counter.value, resetMs: counter.expiresAt - now }
    },
    async acquire(key, owner, ttlMs) {
      const lease = leases.get(key)
      if (lease && lease.owner !== owner) return false
      leases.set(key, { owner, expiresAt: clock.now() + ttlMs })
      return true
    },
    async release(key, owner) {
      if (leases.get(key)?.owner === owner) leases.delete(key)
    },
    async ping() {},
    async close() {
      listeners.clear()
      counters.clear()
      leases.clear()
    }
  }
}

/** A map whose entries vanish when they expire; full, it drops what expires first. */
function createExpiringMap<V extends Expiring>(clock: Clock, maxEntries: number) {
  const entries = new Map<string, V>()

  function makeRoom(): void {
    for (const [key, { expiresAt }] of entries) if (expiresAt <= clock.now()) entries.delete(key)
    if (entries.size < maxEntries) return
    // A tenth at once, so that a full map is not sorted for every new entry.
    const soonest = [...entries].sort(([, a], [, b]) => a.expiresAt - b.expiresAt)
    for (const [key] of soonest.slice(0, Math.ceil(maxEntries / 10))) entries.delete(key)
  }

  return {
    get(key: string): V | undefined {
      const value = entries.get(key)
      return value && value.expiresAt > clock.now() ? value : undefined
    },
    set(key: string, value: V): void {
      if (!entries.has(key) && entries.size >= maxEntries) makeRoom()
      entries.set(key, value)
    },
    delete: (key: string) => entries.delete(key),
    clear: () => entries.clear()
  }
}
