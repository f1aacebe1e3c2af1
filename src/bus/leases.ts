import type { Clock } from '../clock.ts'
import { createExpiringMap } from './expiring-map.ts'

/** One place of a lease, as its owner holds it. */
export interface HeldLease {
  key: string
  owner: string
  places: number
  /** Epoch ms. */
  expiresAt: number
}

/** Leases of one process, by the rules of the port. */
export function createLeases(clock: Clock, maxEntries: number) {
  const leases = createExpiringMap<{ owners: Map<string, number>; places: number; expiresAt: number }>(
    clock,
    maxEntries
  )

  function expiryOf(key: string, owner: string): number | undefined {
    const expiresAt = leases.get(key)?.owners.get(owner)
    return expiresAt !== undefined && expiresAt > clock.now() ? expiresAt : undefined
  }

  return {
    /** Until when the owner holds it, epoch ms; undefined if it does not. */
    expiryOf,
    acquire(key: string, owner: string, ttlMs: number, places: number): boolean {
      const now = clock.now()
      const known = leases.get(key, now)
      const owners = known?.owners ?? new Map<string, number>()
      if (known) for (const [other, expiresAt] of owners) if (expiresAt <= now) owners.delete(other)
      if (!owners.has(owner) && owners.size >= places) return false
      const until = now + ttlMs
      owners.set(owner, until)
      leases.set(key, { owners, places, expiresAt: owners.size === 1 ? until : Math.max(...owners.values()) })
      return true
    },
    release(key: string, owner: string): void {
      const lease = leases.get(key)
      if (lease?.owners.delete(owner) && lease.owners.size === 0) leases.delete(key)
    },
    all(): HeldLease[] {
      return leases
        .all()
        .flatMap(([key, { owners, places }]) =>
          [...owners]
            .filter(([, expiresAt]) => expiresAt > clock.now())
            .map(([owner, expiresAt]) => ({ key, owner, places, expiresAt }))
        )
    },
    clear: () => leases.clear()
  }
}
