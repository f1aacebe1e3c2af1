import type { LedgerEntryRow } from './collections.ts'
import type { CollectionSpec, Document } from './port.ts'

/** A run that cost nothing and so has no entry. id is the run id. */
export interface FreeRunRow extends Document {
  userId: string
  chatflowId: string
  startedAt: number
  /** When it ended. */
  at: number
  expiresAt: number
  /** As the entry of a run has it. */
  meta: LedgerEntryRow['meta']
}

/** What predictions came to; credits in micro-credits. */
export interface UsageCounts {
  predictions: number
  completed: number
  stopped: number
  failed: number
  chargedMicro: number
  inputTokens: number
  outputTokens: number
  /** As flows reported them. */
  totalTokens: number
  /** As the gateway counted where they reported none. */
  estimatedTokens: number
}

/** The predictions of one user with one chatflow and one key that ended in one segment of time: a day or an hour of UTC. */
export interface UsageRow extends Document, UsageCounts {
  /** `2026-01-31`, or `2026-01-31T23`. */
  segment: string
  userId: string
  chatflowId: string
  /** Null: without a key. */
  keyId: string | null
}

/** A segment all of whose rows are there. id is the segment. */
export interface UsageSegmentRow extends Document {
  builtAt: number
}

/** What reports are made of. */
export const usageCollections: CollectionSpec[] = [
  { name: 'free_runs', indexes: [['at'], ['userId', 'at'], ['expiresAt']] },
  { name: 'usage_rows', indexes: [['segment'], ['userId', 'segment']] },
  { name: 'usage_segments' }
]
