import { Readable } from 'node:stream'
import { runIdOf } from '../../src/ids.ts'
import type { Clock } from '../../src/clock.ts'
import type { Ledger } from '../../src/credits/ledger.ts'
import type { LedgerEntryRow } from '../../src/store/collections.ts'
import type { Store } from '../../src/store/port.ts'
import { type Dimension, DIMENSIONS, type UsageGroup } from '../../src/usage/groups.ts'
import { createUsageReports, pageOf } from '../../src/usage/report.ts'
import { periodOf } from '../../src/usage/report-query.ts'
import { createRollUp } from '../../src/usage/roll-up.ts'
import { createEndedRuns } from '../../src/usage/runs.ts'

/** Reports and roll-ups over this store. */
export function openUsage({ store, clock }: { store: Store; clock: Clock }) {
  const runs = createEndedRuns(store)
  const stopped = new AbortController()
  const rollUp = createRollUp({ store, clock, runs, signal: stopped.signal })

  async function report(
    groupBy: readonly Dimension[] = DIMENSIONS,
    query: { from?: string; to?: string; userId?: string; maxCounted?: number; maxRows?: number } = {}
  ): Promise<UsageGroup[]> {
    const { maxCounted, maxRows, ...asked } = query
    const limits = { ...(maxCounted !== undefined && { maxCounted }), ...(maxRows !== undefined && { maxRows }) }
    const reports = createUsageReports({ store, runs, ...limits })
    const opened = await reports.open({ ...asked, days: periodOf(asked, clock.now()), groupBy: new Set(groupBy) })
    return Readable.from(opened.groups()).toArray()
  }

  /** Everything that a report of the last days comes to. */
  async function totals(query: { from?: string; to?: string } = {}) {
    const reports = createUsageReports({ store, runs })
    const opened = await reports.open({ days: periodOf(query, clock.now()), groupBy: new Set() })
    return (await pageOf(opened, { after: undefined, count: 1 })).totals
  }

  return { runs, rollUp, report, totals, stop: () => stopped.abort() }
}

/** The sum of what the ledger says was charged. */
export async function chargedIn(store: Store, book = 'ledger_entries'): Promise<number> {
  let sum = 0
  let after: { value: null; id: string } | undefined
  do {
    const page = await store.collection<LedgerEntryRow>(book).list({ limit: 1000, ...(after && { after }) })
    for (const { kind, delta } of page) if (kind === 'charge') sum -= delta
    const last = page.length === 1000 ? page.at(-1) : undefined
    after = last && { value: null, id: last.id }
  } while (after)
  return sum
}

let made = 0

/** One paid prediction in the ledger, from the hold to the charge. */
export async function pay(
  ledger: Ledger,
  {
    userId = 'a',
    chatflowId = 'f',
    ...meta
  }: Record<string, string | number> & { userId?: string; chatflowId?: string },
  costMicro: number
): Promise<void> {
  const rid = runIdOf(String(made++))
  const hold = await ledger.reserve({ rid, accountId: userId, chatflowId, amountMicro: 100 })
  await ledger.settle(hold, costMicro, { ending: 'completed', ...meta })
}
