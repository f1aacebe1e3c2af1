import { loadConfigFromProcess } from '../config.ts'
import { verifyLedger } from '../credits/verify.ts'
import { openStore } from '../store/open.ts'
import type { Command } from './command.ts'

/** Every invariant of the ledger, and each account that breaks one. */
export const verify: Command = {
  summary: 'checks that the ledger adds up; also while the gateway runs',
  async run() {
    const store = await openStore(loadConfigFromProcess(), { mode: 'inspect' })
    try {
      const { accountsChecked, entriesChecked, problems } = await verifyLedger(store)
      for (const { accountId, invariant, detail } of problems)
        process.stdout.write(`account ${accountId}: ${invariant} ${detail}\n`)
      process.stdout.write(`${accountsChecked} accounts, ${entriesChecked} entries, ${problems.length} problems\n`)
      return problems.length === 0 ? 0 : 1
    } finally {
      await store.close()
    }
  }
}
