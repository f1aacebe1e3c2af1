import type { UsageCounts } from '../store/usage-rows.ts'
import { addCounts, noCounts, type UsageOwner } from './counts.ts'

export interface Tallied extends UsageOwner {
  readonly counts: UsageCounts
}

/** Counts by user, chatflow and key. */
export interface Tally {
  add(run: Tallied): void
  values(): Iterable<Tallied>
  readonly size: number
}

/** A tally of nothing yet. */
export function createTally(): Tally {
  const groups = new Map<string, Tallied>()
  return {
    add({ userId, chatflowId, keyId, counts }) {
      const key = ownerKey({ userId, chatflowId, keyId })
      const group = groups.get(key) ?? { userId, chatflowId, keyId, counts: noCounts() }
      addCounts(group.counts, counts)
      groups.set(key, group)
    },
    values: () => groups.values(),
    get size() {
      return groups.size
    }
  }
}

/** One text for one owner, whatever is in their ids. */
export function ownerKey({ userId, chatflowId, keyId }: UsageOwner): string {
  return JSON.stringify([userId, chatflowId, keyId])
}
