import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError, invalid } from '../errors.ts'
import { pagesOf } from '../store/collect.ts'
import type { Store } from '../store/port.ts'
import type { UsageCounts, UsageRow } from '../store/usage-rows.ts'
import { addCounts, noCounts } from './counts.ts'
import { createGroups, type Dimension, type Groups, type UsageGroup } from './groups.ts'
import { marksOf } from './roll-up.ts'
import type { EndedRuns } from './runs.ts'
import { dayOf, hoursOf, type Segment } from './segments.ts'
import { createTally, type Tallied, type Tally } from './tally.ts'

export interface UsageQuery {
  /** Days that follow each other. */
  days: readonly Segment[]
  groupBy: ReadonlySet<Dimension>
  userId?: string
  keyId?: string
  /** Absent: all. */
  chatflowIds?: readonly string[]
}

/** A report whose rows are read as they are asked for. */
export interface UsageReport {
  /** In the order of their keys, behind `after`. */
  groups(after?: string): AsyncGenerator<UsageGroup>
}

export interface UsageReports {
  /**
   * @throws report_not_ready when too much of it has not been added up yet, validation_error when it would have too many
   * rows; days with too many rows are found while they are read
   */
  open(query: UsageQuery): Promise<UsageReport>
}

export interface UsageReportsOptions {
  store: Store
  runs: EndedRuns
  /** Most predictions that are counted one by one for a report. */
  maxCounted?: number
  /** Most rows that are held at a time: of a day, or of a report without days. */
  maxRows?: number
}

const PAGE = 500
const RETRY_SECONDS = 60

/** Reports out of what has been added up, and of the predictions after that. */
export function createUsageReports(options: UsageReportsOptions): UsageReports {
  const { store, runs, maxCounted = 300_000, maxRows = 200_000 } = options
  const rows = store.collection<UsageRow>('usage_rows')

  /** Of each day, what nobody has added up yet. */
  async function countRest(gaps: Segment[], query: UsageQuery): Promise<Map<string, Tally>> {
    const rest = new Map<string, Tally>()
    const mine = query.userId === undefined ? {} : { userId: query.userId }
    let counted = 0
    for (const { from, to } of gaps)
      for await (const page of runs.between({ from, to, ...mine })) {
        counted += page.length
        if (counted > maxCounted) throw new AppError('report_not_ready', { retryAfterSeconds: RETRY_SECONDS })
        for (const run of page) {
          if (!isWanted(run, query)) continue
          const { id } = dayOf(run.at)
          const tally = rest.get(id) ?? createTally()
          tally.add(run)
          rest.set(id, tally)
        }
      }
    return rest
  }

  async function* addedUp(segments: string[], query: UsageQuery): AsyncGenerator<Tallied> {
    for (const segment of segments) {
      const equal = { segment, ...(query.userId === undefined ? {} : { userId: query.userId }) }
      for await (const page of pagesOf(rows, { where: { equal }, limit: PAGE })) {
        for (const { userId, chatflowId, keyId, ...counts } of page)
          if (isWanted({ userId, chatflowId, keyId }, query)) yield { userId, chatflowId, keyId, counts }
        await nextTurn()
      }
    }
  }

  /** Adds one day to the sums. */
  async function sumUp({ day, segments }: Planned, rest: Map<string, Tally>, { sums, query }: Work): Promise<void> {
    for await (const added of addedUp(segments, query)) {
      sums.add(day.id, added)
      if (sums.size > maxRows) throw invalid(['query', 'group_by'], `makes more than ${maxRows} rows: name fewer`)
    }
    for (const counted of rest.get(day.id)?.values() ?? []) sums.add(day.id, counted)
  }

  return {
    async open(query) {
      const marked = new Set((await marksOf(store, query.days)).map(({ id }) => id))
      const plan = query.days.map((day) => planOf(day, marked))
      const rest = await countRest(joined(plan.flatMap(({ gaps }) => gaps)), query)
      if (!query.groupBy.has('day')) {
        const sums = createGroups(query.groupBy)
        for (const planned of plan) await sumUp(planned, rest, { sums, query })
        return {
          async *groups(after = '') {
            yield* sums.sorted(after)
          }
        }
      }
      return {
        async *groups(after = '') {
          for (const planned of plan) {
            // Keys begin with the day.
            if (planned.day.id < after.slice(0, planned.day.id.length)) continue
            const sums = createGroups(query.groupBy)
            await sumUp(planned, rest, { sums, query })
            yield* sums.sorted(after)
          }
        }
      }
    }
  }
}

interface Planned {
  day: Segment
  /** What has been added up. */
  segments: string[]
  /** What lies between. */
  gaps: Segment[]
}

interface Work {
  sums: Groups
  query: UsageQuery
}

/** The first rows behind `after`, and on the first page the sum of all. */
export async function pageOf(
  report: UsageReport,
  { after, count }: { after: string | undefined; count: number }
): Promise<{ groups: (UsageGroup & { id: string })[]; totals: UsageCounts | null }> {
  const groups: (UsageGroup & { id: string })[] = []
  const totals = after === undefined ? noCounts() : null
  for await (const group of report.groups(after)) {
    if (groups.length < count) groups.push({ ...group, id: group.key })
    else if (!totals) break
    if (totals) addCounts(totals, group.counts)
  }
  return { groups, totals }
}

function isWanted(
  { userId, chatflowId, keyId }: Omit<Tallied, 'counts'>,
  { userId: user, chatflowIds, keyId: key }: UsageQuery
): boolean {
  if (user !== undefined && user !== userId) return false
  return (key === undefined || key === keyId) && (!chatflowIds || chatflowIds.includes(chatflowId))
}

function planOf(day: Segment, marked: ReadonlySet<string>): Planned {
  if (marked.has(day.id)) return { day, segments: [day.id], gaps: [] }
  const hours = hoursOf(day)
  const segments = hours.filter(({ id }) => marked.has(id)).map(({ id }) => id)
  return { day, segments, gaps: hours.filter(({ id }) => !marked.has(id)) }
}

/** Neighbours as one, so that a day nobody has added up is one query and not twenty-four. */
function joined(gaps: Segment[]): Segment[] {
  const longer: Segment[] = []
  for (const gap of gaps) {
    const last = longer.at(-1)
    if (last?.to === gap.from) longer[longer.length - 1] = { ...last, to: gap.to }
    else longer.push(gap)
  }
  return longer
}
