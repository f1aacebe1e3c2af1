import { writeSync } from 'node:fs'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'

// Child process of the kill test, `node write-burst.ts <folder> <round>`: changes balances without end, each change with its
// entry, and names each entry on stdout once the change is acknowledged.
const [, , dataDir = '', round = ''] = process.argv
const store = await openStore({ dataDir }, { mode: 'serve' })
const accounts = store.collection<AccountRow>('accounts')

async function burst(accountId: string): Promise<void> {
  const amounts = { available: 0, held: 0, holdCount: 0, grantVersion: 0, opening: 0, createdAt: 0, updatedAt: 0 }
  await accounts.insert({ id: accountId, status: 'active', holds: {}, limits: {}, ...amounts })
  for (let count = 0; ; count++) {
    const id = `${accountId}-${round}-${count}`
    const entry: LedgerEntryRow = {
      id,
      accountId,
      kind: 'grant',
      delta: 1,
      isPosting: true,
      requestId: id,
      attempt: null,
      at: count,
      meta: { note: 'x'.repeat(300) }
    }
    await accounts.update(accountId, {}, { inc: { available: 1 } }, [{ collection: 'ledger_entries', document: entry }])
    writeSync(1, `${id}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, (_, writer) => burst(`w${writer}`)))
