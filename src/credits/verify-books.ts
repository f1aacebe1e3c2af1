import type { Store } from '../store/port.ts'
import { verifyAccounting } from './verify-accounting.ts'
import { type LedgerReport, verifyLedger } from './verify.ts'

/** Checks both sets of books, whichever is in use: the ledger, and the one in front of an accounting service. */
export async function verifyBooks(store: Store): Promise<LedgerReport> {
  const [ledger, accounting] = [await verifyLedger(store), await verifyAccounting(store)]
  return {
    accountsChecked: ledger.accountsChecked + accounting.accountsChecked,
    entriesChecked: ledger.entriesChecked + accounting.entriesChecked,
    problems: [...ledger.problems, ...accounting.problems]
  }
}
