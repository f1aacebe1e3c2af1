import type { Clock } from '../clock.ts'
import { pagesOf } from '../store/collect.ts'
import type { Store } from '../store/port.ts'
import type { UsageRow, UsageSegmentRow } from '../store/usage-rows.ts'
import type { EndedRuns } from './runs.ts'
import { DAY_MS, daysBetween, HOUR_MS, hoursOf, type Segment } from './segments.ts'
import { createTally, ownerKey, type Tallied } from './tally.ts'

export interface RollUp {
  /** Adds up every segment that is due, the newest days first; answers how many. What was cut short is due again. */
  run(): Promise<number>
}

export interface RollUpOptions {
  store: Store
  clock: Clock
  runs: EndedRuns
  /** Cuts the work short. */
  signal: AbortSignal
}

/**
 * An entry can appear only while its hold is there, so at most a lease, a sweep and the time-out of a write after the
 * instant that it tells: about two minutes. An hour waits many times longer, a day more, and then it is looked at once more.
 */
const HOUR_GRACE_MS = HOUR_MS
const DAY_GRACE_MS = 6 * HOUR_MS
const FINAL_MS = 3 * DAY_MS
/** A report that is being read may still use the hours of a day that has just been added up. */
const HOURS_KEPT_MS = DAY_MS
const WRITES = 50

/** Adds up what has ended, in hours and then in days. A segment counts when its mark is there, which is written last. */
export function createRollUp({ store, clock, runs, signal }: RollUpOptions): RollUp {
  const rows = store.collection<UsageRow>('usage_rows')
  const marks = store.collection<UsageSegmentRow>('usage_segments')
  /** Days before it are done with, and are not looked at again in this process. */
  let doneBefore = 0

  async function build(segment: Segment): Promise<void> {
    const tally = createTally()
    for await (const page of runs.between(segment)) {
      if (signal.aborted) return
      for (const run of page) tally.add(run)
    }
    const groups = [...tally.values()]
    while (groups.length > 0) {
      if (signal.aborted) return
      await Promise.all(groups.splice(0, WRITES).map((group) => write(segment, group)))
    }
    const builtAt = clock.now()
    if (!(await marks.insert({ id: segment.id, builtAt }))) await marks.update(segment.id, {}, { set: { builtAt } })
  }

  /** The whole row each time, so that it makes no difference how often. */
  async function write({ id: segment }: Segment, { counts, ...owner }: Tallied): Promise<void> {
    const id = `${segment}:${ownerKey(owner)}`
    if (!(await rows.insert({ id, segment, ...owner, ...counts }))) await rows.update(id, {}, { set: { ...counts } })
  }

  async function remove(segment: string): Promise<void> {
    await marks.remove(segment)
    for await (const page of pagesOf(rows, { where: { equal: { segment } }, limit: 200 }))
      await Promise.all(page.map(({ id }) => rows.remove(id)))
  }

  /** True if there is nothing left to do for the day, ever. */
  async function workOn(day: Segment, known: Map<string, number>, built: Segment[]): Promise<boolean> {
    const now = clock.now()
    const hours = hoursOf(day)
    if (now < day.to + DAY_GRACE_MS) {
      for (const hour of hours) {
        if (known.has(hour.id) || now < hour.to + HOUR_GRACE_MS || signal.aborted) continue
        await build(hour)
        built.push(hour)
      }
      return false
    }
    const builtAt = known.get(day.id)
    const isFinal = builtAt !== undefined && builtAt >= day.to + FINAL_MS
    if (builtAt === undefined || (!isFinal && now >= day.to + FINAL_MS)) {
      await build(day)
      built.push(day)
      return false
    }
    const old = hours.filter(({ id }) => known.has(id))
    if (builtAt + HOURS_KEPT_MS <= now) for (const { id } of old) await remove(id)
    return isFinal && old.length === 0
  }

  return {
    async run() {
      const firstAt = await runs.firstAt()
      if (firstAt === undefined) return 0
      const days = daysBetween(Math.max(firstAt, doneBefore), clock.now())
      const known = new Map((await marksOf(store, days)).map(({ id, builtAt }) => [id, builtAt]))
      const built: Segment[] = []
      const done = new Set<Segment>()
      for (const day of days.toReversed()) {
        if (signal.aborted) return built.length
        if (await workOn(day, known, built)) done.add(day)
      }
      for (const day of days) {
        if (!done.has(day)) break
        doneBefore = day.to
      }
      return built.length
    }
  }
}

/** The marks of these days, which follow each other, and of their hours. */
export async function marksOf(store: Store, days: readonly Segment[]): Promise<UsageSegmentRow[]> {
  const marks = store.collection<UsageSegmentRow>('usage_segments')
  const first = days[0]
  const last = days.at(-1)
  const found: UsageSegmentRow[] = []
  if (!first || !last) return found
  const end = `${last.id}U`
  // Names of segments are in the order of time; a day comes right before its hours.
  let after = first.id.slice(0, -1)
  for (;;) {
    const page = await marks.list({ after: { value: null, id: after }, limit: 1000 })
    found.push(...page.filter(({ id }) => id >= first.id && id < end))
    const next = page.at(-1)
    if (!next || page.length < 1000 || next.id >= end) return found
    after = next.id
  }
}
