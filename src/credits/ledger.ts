import type { AccountRow, LedgerEntryRow } from '../store/collections.ts'
import type { ListQuery } from '../store/port.ts'
import { createGrants } from './grants.ts'
import type { Grants } from './grants.ts'
import { createHolds } from './holds.ts'
import type { Holds, HoldsOptions } from './holds.ts'

export type { Changed, CreditChange, TargetChange } from './grants.ts'
export type { Hold } from './hold.ts'
export type { Settlement } from './hold-ends.ts'
export type { Reservation, RunOf } from './holds.ts'

export interface EntriesQuery {
  /** Start behind this entry: its `at` as value, and its id. */
  after?: NonNullable<ListQuery['after']>
  /** 1–1000. */
  limit: number
}

/** The credits of every account: each operation is one guarded write with its entry (design: credits). */
export interface Ledger extends Grants, Holds {
  account(accountId: string): Promise<AccountRow | undefined>
  /** What changed the balance, newest first; holds and releases are not among it. */
  entries(accountId: string, query: EntriesQuery): Promise<LedgerEntryRow[]>
}

const DEFAULT_LEASE_MS = 60_000

/** The ledger over this store. */
export function createLedger(options: Omit<HoldsOptions, 'leaseMs'> & { leaseMs?: number }): Ledger {
  const { store, leaseMs = DEFAULT_LEASE_MS } = options
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  return {
    ...createGrants(options),
    ...createHolds({ ...options, leaseMs }),
    account: (accountId) => accounts.get(accountId),
    entries: (accountId, { after, limit }) =>
      entries.list({
        where: { equal: { accountId, isPosting: true } },
        order: { by: 'at', direction: 'desc' },
        ...(after && { after }),
        limit
      })
  }
}
