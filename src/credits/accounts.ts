import type { Static } from '../schema.ts'
import type { Append } from '../store/port.ts'
import type { Customer } from './accounting-tokens.ts'
import type { Ledger } from './ledger.ts'
import { type Balance, balanceView, entriesQuery, type TransactionPage, transactionPage } from './view.ts'

/** What owners and administrators see of a credit account, and the one switch on it, whoever keeps the balance. */
export interface CreditAccounts {
  /** @throws accounting_unavailable, token_expired where another service keeps the balance */
  balance(customer: Customer): Promise<Static<typeof Balance>>
  /** Newest first. @throws validation_error for a cursor that is not ours */
  transactions(
    userId: string,
    page: { limit: number; cursor: string | undefined }
  ): Promise<Static<typeof TransactionPage>>
  /**
   * Frozen accounts start no predictions; what runs is settled. `append` appears with the change.
   * False if it was so already.
   */
  setFrozen(userId: string, isFrozen: boolean, append?: Append[]): Promise<boolean>
}

/** The accounts of the ledger; each is opened when it is first looked at. */
export function createLedgerAccounts({
  ledger,
  openingMicro
}: {
  ledger: Ledger
  openingMicro: number
}): CreditAccounts {
  return {
    balance: async ({ userId }) => balanceView(await ledger.open(userId, openingMicro)),
    async transactions(userId, { limit, cursor }) {
      return transactionPage(await ledger.entries(userId, entriesQuery(limit, cursor)), limit)
    },
    async setFrozen(userId, isFrozen, append) {
      await ledger.open(userId, openingMicro)
      return ledger.setFrozen(userId, isFrozen, append)
    }
  }
}
