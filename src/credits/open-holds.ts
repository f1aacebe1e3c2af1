import type { AccountRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import type { BookNames } from './book-names.ts'

/** True while a run of this account holds credits, in whichever process: it runs, or its process died a moment ago. */
export type HasOpenHold = (accountId: string, rid: string) => Promise<boolean>

/** Looks into this book. */
export function createOpenHolds(store: Store, book: BookNames): HasOpenHold {
  const accounts = store.collection<Pick<AccountRow, 'id' | 'holds'>>(book.accounts)
  return async (accountId, rid) => (await accounts.get(accountId))?.holds[rid] !== undefined
}
