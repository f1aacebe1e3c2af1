import type { LedgerEntryRow } from '../store/collections.ts'
import type { FreeRunRow, UsageCounts } from '../store/usage-rows.ts'

/** Whose a prediction was. */
export interface UsageOwner {
  readonly userId: string
  readonly chatflowId: string
  readonly keyId: string | null
}

/** One prediction that has ended, as reports count it. */
export interface CountedRun extends UsageOwner {
  readonly id: string
  readonly at: number
  readonly counts: UsageCounts
}

const STOPPED: readonly unknown[] = ['stopped', 'abandoned']

/** Counts of nothing. */
export function noCounts(): UsageCounts {
  return {
    predictions: 0,
    completed: 0,
    stopped: 0,
    failed: 0,
    chargedMicro: 0,
    inputTokens: 0,
    outputTokens: 0,
    totalTokens: 0,
    estimatedTokens: 0
  }
}

/** Adds to the first. */
export function addCounts(sum: UsageCounts, more: UsageCounts): void {
  sum.predictions += more.predictions
  sum.completed += more.completed
  sum.stopped += more.stopped
  sum.failed += more.failed
  sum.chargedMicro += more.chargedMicro
  sum.inputTokens += more.inputTokens
  sum.outputTokens += more.outputTokens
  sum.totalTokens += more.totalTokens
  sum.estimatedTokens += more.estimatedTokens
}

/** What the entry that a run ends with counts for; undefined for one that was refused before it began. */
export function countedEntry({ id, at, accountId, delta, meta }: LedgerEntryRow): CountedRun | undefined {
  if (delta === 0 && meta['ending'] === 'refused') return undefined
  const chatflowId = typeof meta['chatflowId'] === 'string' ? meta['chatflowId'] : ''
  return { id, at, userId: accountId, chatflowId, keyId: keyOf(meta), counts: countsOf(meta, delta) }
}

/** The same of a run that has no entry. */
export function countedFree({ id, at, userId, chatflowId, meta }: FreeRunRow): CountedRun {
  return { id, at, userId, chatflowId, keyId: keyOf(meta), counts: countsOf(meta, 0) }
}

function countsOf(meta: LedgerEntryRow['meta'], delta: number): UsageCounts {
  // Entries that tell no ending are older than that member, or of something other than a prediction: what was paid for is done.
  const ending = meta['ending'] ?? (delta < 0 ? 'completed' : undefined)
  const isStopped = STOPPED.includes(ending)
  const isCompleted = ending === 'completed'
  const isEstimated = meta['isEstimated'] === true
  const total = tokensOf(meta['totalTokens'])
  return {
    predictions: 1,
    completed: isCompleted ? 1 : 0,
    stopped: isStopped ? 1 : 0,
    failed: isCompleted || isStopped ? 0 : 1,
    chargedMicro: Math.abs(delta),
    inputTokens: isEstimated ? 0 : tokensOf(meta['inputTokens']),
    outputTokens: isEstimated ? 0 : tokensOf(meta['outputTokens']),
    totalTokens: isEstimated ? 0 : total,
    estimatedTokens: isEstimated ? total : 0
  }
}

function keyOf(meta: LedgerEntryRow['meta']): string | null {
  return typeof meta['keyId'] === 'string' ? meta['keyId'] : null
}

function tokensOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
