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

/** What reports are made of. */
export const usageCollections: CollectionSpec[] = [{ name: 'free_runs', indexes: [['at'], ['expiresAt']] }]
