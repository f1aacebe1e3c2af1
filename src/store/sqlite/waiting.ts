import type { DocumentCache } from './cache.ts'
import type { RedoLog } from './redo-log.ts'

/** Told once, when a batch is durable, or why nobody knows whether it is. */
export type Kept = (error?: unknown) => void

interface Batch {
  index: number
  /** Of it the cache could still undo. */
  writes: number
  kept: Kept
  /** What its record is in, if a sync of that will do. */
  log: RedoLog | undefined
  isCommitted: boolean
  isDurable: boolean
}

/** Batches on their way to the disk. Each is acknowledged when it is durable, and not before those that were asked for earlier. */
export interface Waiting {
  /** One whose record is in this log. */
  addLogged(writes: number, kept: Kept, log: RedoLog): void
  /** One that is committed, or that had nothing to write. */
  addCommitted(kept: Kept, isDurable: boolean): void
  /** The last one, for `reach`; of those that are committed, or of all. */
  last(isCommitted: boolean): number
  /** Durable is what was there up to this one, all of it or of one log. */
  reach(last: number, log?: RedoLog): void
  /** Whether a sync of this log could help anybody. */
  needs(log: RedoLog): boolean
  /** A sync of this log says nothing any more: the database has to. */
  distrust(log: RedoLog): void
  /** The database has all of them: nothing can be undone. */
  commit(): void
  /** How many writes are neither committed nor acknowledged. */
  unsettled(): number
  /** Refuses what is neither committed nor durable, and all behind it; the transaction is to be undone. */
  lose(error: unknown): void
  /** Refuses all that is not known to be durable, and all behind it; the transaction is to be undone. */
  fail(error: unknown): void
}

/** Nobody waits yet. */
export function createWaiting(cache: DocumentCache): Waiting {
  let batches: Batch[] = []
  let added = 0
  let committed = 0
  let unsettled = 0

  function settle(writes: number): void {
    unsettled -= writes
    cache.settle(writes)
  }

  function tell(): void {
    while (batches[0]?.isDurable) {
      const { writes, kept } = batches[0]
      batches.shift()
      if (writes > 0) settle(writes)
      kept()
    }
  }

  /**
   * What can still be undone is undone, and may come back. What was asked for behind the first that is refused goes with it,
   * durable or not: it was worked out from that one, and after a crash nothing is applied behind what is missing.
   */
  function refuse(isRefused: (batch: Batch) => boolean, error: unknown): void {
    cache.undo(0)
    unsettled = 0
    for (const batch of batches) batch.writes = 0
    const first = batches.findIndex(isRefused)
    const refused = first === -1 ? [] : batches.slice(first)
    batches = batches.slice(0, batches.length - refused.length)
    for (const { kept } of refused) kept(error)
    tell()
  }

  return {
    addLogged(writes, kept, log) {
      batches.push({ index: ++added, writes, kept, log, isCommitted: false, isDurable: false })
      unsettled += writes
    },
    addCommitted(kept, isDurable) {
      batches.push({ index: ++added, writes: 0, kept, log: undefined, isCommitted: true, isDurable })
      // One without writes may stand behind others that are in a log.
      if (!isDurable) committed = added
      tell()
    },
    last: (isCommitted) => (isCommitted ? committed : added),
    reach(last, log) {
      for (const batch of batches) if (batch.index <= last && (!log || batch.log === log)) batch.isDurable = true
      tell()
    },
    needs: (log) => batches.some((batch) => batch.log === log && !batch.isDurable),
    distrust(log) {
      for (const batch of batches) if (batch.log === log) batch.log = undefined
    },
    commit() {
      for (const batch of batches) {
        batch.isCommitted = true
        batch.writes = 0
      }
      committed = added
      if (unsettled > 0) settle(unsettled)
    },
    unsettled: () => unsettled,
    lose: (error) => refuse(({ isCommitted, isDurable }) => !isCommitted && !isDurable, error),
    fail: (error) => refuse(({ isDurable }) => !isDurable, error)
  }
}
