import type { Clock } from '../clock.ts'
import { createCounters } from './counters.ts'
import { createLeases } from './leases.ts'
import type { Bus } from './port.ts'

/** Counters, and leases, that are kept at once; above it, expired entries go first, then those that would expire first. */
export const MAX_ENTRIES = 100_000

/**
 * The bus of a single process: everything in memory, and bounded. `onError` hears of listeners that throw; they disturb nobody else.
 */
export function createLocalBus(
  clock: Clock,
  {
    maxEntries = MAX_ENTRIES,
    instance = 'local',
    onError = () => {}
  }: { maxEntries?: number; instance?: string; onError?: (error: unknown) => void } = {}
): Bus {
  const listeners = new Map<string, Set<(message: string) => void>>()
  const counters = createCounters(clock, maxEntries)
  const leases = createLeases(clock, maxEntries)

  function tell(listener: (message: string) => void, message: string): void {
    try {
      listener(message)
    } catch (error) {
      onError(error)
    }
  }

  function publish(channel: string, message: string): void {
    // In a later turn, as with a bus over the network: a publisher never runs its subscribers' code.
    const audience = [...(listeners.get(channel) ?? [])]
    queueMicrotask(() => {
      for (const listener of audience) if (listeners.get(channel)?.has(listener)) tell(listener, message)
    })
  }

  return {
    instance,
    publish,
    send(to, channel, message) {
      if (to === instance) publish(channel, message)
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
    count: (key, windowMs, by = 1) => Promise.resolve(counters.count(key, windowMs, by)),
    acquire: (key, owner, ttlMs, places = 1) => Promise.resolve(leases.acquire(key, owner, ttlMs, places)),
    release: (key, owner) => Promise.resolve(leases.release(key, owner)),
    watch: (listener) => listener({ isUp: true }),
    async ping() {},
    async close() {
      listeners.clear()
      counters.clear()
      leases.clear()
    }
  }
}
