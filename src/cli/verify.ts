import { loadConfigFromProcess } from '../config.ts'
import { toCredits } from '../credits/pricing.ts'
import { reconciliationItems } from '../credits/verify-accounting.ts'
import { verifyBooks } from '../credits/verify-books.ts'
import type { AccountingItemRow } from '../store/accounting-rows.ts'
import { openStore } from '../store/open.ts'
import type { Command } from './command.ts'

/** Every invariant of the books, each account that breaks one, and the charges that only the accounting service knows. */
export const verify: Command = {
  summary: 'checks that the ledger adds up; also while the gateway runs',
  async run() {
    const store = await openStore(loadConfigFromProcess(), { mode: 'inspect' })
    try {
      const { accountsChecked, entriesChecked, problems } = await verifyBooks(store)
      for (const { accountId, invariant, detail } of problems)
        process.stdout.write(`account ${accountId}: ${invariant} ${detail}\n`)
      let items = 0
      for await (const item of reconciliationItems(store)) {
        items++
        process.stdout.write(`${sentenceOf(item)}\n`)
      }
      if (items > 0) process.stdout.write(`${items} charges to compare with the books of the accounting service\n`)
      process.stdout.write(`${accountsChecked} accounts, ${entriesChecked} entries, ${problems.length} problems\n`)
      return problems.length === 0 ? 0 : 1
    } finally {
      await store.close()
    }
  }
}

function sentenceOf({
  accountId,
  chargeId,
  amount,
  kind,
  isUncertain,
  balanceBefore,
  balanceAfter
}: AccountingItemRow) {
  const balances = [balanceBefore, balanceAfter].map((micro) => (micro === null ? '?' : toCredits(micro)))
  const doubt = isUncertain ? ', after a try of unknown outcome' : ''
  return `account ${accountId}: charge ${chargeId} of ${toCredits(amount)} is ${kind}${doubt}; balance ${balances.join(', then ')}`
}
