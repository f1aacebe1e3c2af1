import type { HoldState } from './collections.ts'
import type { CollectionSpec, Document } from './port.ts'

/** What a user has committed of a balance that another service keeps (ADR 14). id is the user id; micro-credits. */
export interface AccountingAccountRow extends Document {
  status: 'active' | 'frozen'
  held: number
  holdCount: number
  holds: Record<string, HoldState>
  /** Sub-budgets, reduced with the holds that name them. */
  limits?: Record<string, number>
  /** Charges in the outbox. */
  unsettled: number
  /** All charges that have ever left the outbox. */
  cleared: number
  /** held + unsettled + cleared. */
  committed: number
  /** What `committed` could have grown to when the balance was last read. */
  ceiling: number
  /** The charge whose turn it is, and whose work it is to send it; `tries` have failed so far. */
  head?: { chargeId: string; owner: string; tries: number; asService: boolean }
  /** When somebody should look at the outbox; absent when it is empty. */
  sendAt?: number
  createdAt: number
  updatedAt: number
}

/** A charge on its way to the accounting service. `amount` in micro-credits. */
export interface ChargeRow extends Document {
  accountId: string
  amount: number
  state: 'pending' | 'settled' | 'refused'
  createdAt: number
  /** When it left the outbox. */
  closedAt?: number
  runId: string
  chatflowId: string
  sessionId: string | null
  messageId: string | null
  /** The newest try; only that one may say how the charge came out. */
  sender?: string
  /** A try has begun and its result is not known yet. */
  isSent: boolean
  /** The outcome of some try will never be known. */
  isUncertain: boolean
  /** Balance before the first try whose outcome is not known, or before the newest one. */
  balanceBefore?: number
}

/** A charge that somebody should compare with the books of the accounting service. */
export interface AccountingItemRow extends Document {
  accountId: string
  chargeId: string
  amount: number
  kind: 'assumed' | 'repeated' | 'refused' | 'late'
  /** A try of unknown outcome had gone before. */
  isUncertain: boolean
  /** Micro-credits; null where it was not read. */
  balanceBefore: number | null
  balanceAfter: number | null
  at: number
}

/** The books in front of an accounting service. */
export const accountingCollections: CollectionSpec[] = [
  {
    name: 'accounting_accounts',
    indexes: [['holdCount'], ['sendAt']],
    nonNegative: ['held', 'holdCount', 'unsettled', 'committed']
  },
  {
    name: 'accounting_entries',
    indexes: [
      ['accountId', 'at'],
      ['kind', 'at']
    ],
    appendedFrom: ['accounting_accounts']
  },
  {
    name: 'accounting_charges',
    indexes: [
      ['accountId', 'createdAt'],
      ['state', 'accountId', 'createdAt']
    ],
    appendedFrom: ['accounting_accounts']
  },
  { name: 'accounting_items', indexes: [['at']], appendedFrom: ['accounting_charges'] }
]
