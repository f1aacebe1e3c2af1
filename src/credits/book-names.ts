/** Names of the collections that holds and their entries are in. */
export interface BookNames {
  readonly accounts: string
  readonly entries: string
}

/** The ledger of the gateway. */
export const LEDGER_BOOK: BookNames = { accounts: 'accounts', entries: 'ledger_entries' }
/** The books in front of an accounting service. */
export const ACCOUNTING_BOOK: BookNames = { accounts: 'accounting_accounts', entries: 'accounting_entries' }
