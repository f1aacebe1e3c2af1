import type { UsageCounts } from '../store/usage-rows.ts'
import { addCounts, noCounts } from './counts.ts'
import type { Tallied } from './tally.ts'

/** What a report can be broken down by. */
export const DIMENSIONS = ['day', 'user', 'chatflow', 'key'] as const
export type Dimension = (typeof DIMENSIONS)[number]

/** One row of a report; a member is absent if the report is not broken down by it. */
export interface UsageGroup {
  /** Its place in the order of the report. */
  readonly key: string
  readonly day?: string
  readonly userId?: string
  readonly chatflowId?: string
  /** Null: without a key. */
  readonly keyId?: string | null
  readonly counts: UsageCounts
}

export interface Groups {
  add(day: string, tallied: Tallied): void
  /** In the order of their keys, behind `after`. */
  sorted(after: string): UsageGroup[]
  readonly size: number
}

/** Rows by these dimensions. */
export function createGroups(groupBy: ReadonlySet<Dimension>): Groups {
  const groups = new Map<string, UsageGroup>()
  return {
    add(day, { userId, chatflowId, keyId, counts }) {
      const about = {
        ...(groupBy.has('day') && { day }),
        ...(groupBy.has('user') && { userId }),
        ...(groupBy.has('chatflow') && { chatflowId }),
        ...(groupBy.has('key') && { keyId })
      }
      const { day: on = '', ...others } = about
      const key = `${on}${JSON.stringify(Object.values(others))}`
      const group = groups.get(key) ?? { key, ...about, counts: noCounts() }
      addCounts(group.counts, counts)
      groups.set(key, group)
    },
    get size() {
      return groups.size
    },
    sorted: (after) => [...groups.values()].filter(({ key }) => key > after).sort((a, b) => (a.key < b.key ? -1 : 1))
  }
}
