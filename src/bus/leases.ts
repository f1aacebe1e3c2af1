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

/** One lease: who holds it, and until when (epoch ms). */
interface Lease {
  holders: { owner: string; expiresAt: number }[]
  places: number
  /** When the last of them runs out. */
  expiresAt: number
}

/** Leases of one process, by the rules of the port. */
export function createLeases(clock: Clock, maxEntries: number) {
  const leases = createExpiringMap<Lease>(clock, maxEntries)

  return {
    /** Until when the owner holds it, epoch ms; undefined if it does not. */
    expiryOf(key: string, owner: string): number | undefined {
      const now = clock.now()
      const expiresAt = holderOf(leases.get(key, now), owner)?.expiresAt
      return expiresAt !== undefined && expiresAt > now ? expiresAt : undefined
    },
    acquire(key: string, owner: string, ttlMs: number, places: number): boolean {
      const now = clock.now()
      const known = leases.get(key, now)
      const expiresAt = now + ttlMs
      if (!known) {
        leases.set(key, { holders: [{ owner, expiresAt }], places, expiresAt })
        return true
      }
      const { holders } = known
      // In place: each prediction takes a place and gives it back, beside all others of its user.
      for (let i = holders.length - 1; i >= 0; i--) if ((holders[i]?.expiresAt ?? 0) <= now) holders.splice(i, 1)
      const own = holderOf(known, owner)
      if (own) own.expiresAt = expiresAt
      else if (holders.length >= places) return false
      else holders.push({ owner, expiresAt })
      known.places = places
      known.expiresAt = 0
      for (const holder of holders) known.expiresAt = Math.max(known.expiresAt, holder.expiresAt)
      return true
    },
    release(key: string, owner: string): void {
      const lease = leases.get(key)
      if (!lease) return
      const at = lease.holders.findIndex((holder) => holder.owner === owner)
      if (at >= 0) lease.holders.splice(at, 1)
      if (lease.holders.length === 0) leases.delete(key)
    },
    all(): HeldLease[] {
      const now = clock.now()
      return leases
        .all()
        .flatMap(([key, { holders, places }]) =>
          holders
            .filter(({ expiresAt }) => expiresAt > now)
            .map(({ owner, expiresAt }) => ({ key, owner, places, expiresAt }))
        )
    },
    clear: () => leases.clear()
  }
}

function holderOf(lease: Lease | undefined, owner: string) {
  return lease?.holders.find((holder) => holder.owner === owner)
}
