import { pagesOf } from '../store/collect.ts'
import type { AccountingAccountRow, AccountingItemRow, ChargeRow } from '../store/accounting-rows.ts'
import type { LedgerEntryRow } from '../store/collections.ts'
import type { Collection, Store } from '../store/port.ts'
import { ACCOUNTING_BOOK } from './book-names.ts'
import { budgetFindings, type Finding, rowsOf, type Invariant, type LedgerReport, MAX_PROBLEMS } from './verify.ts'
import { createRunCheck } from './verify-runs.ts'

const TRIES = 5

/**
 * The same for the books in front of an accounting service: what is committed is held, unsettled or cleared, and every
 * charge is in the outbox or has left it. What the service did with them only its own books tell. Reads only.
 */
export async function verifyAccounting(store: Store): Promise<LedgerReport> {
  const accounts = store.collection<AccountingAccountRow>(ACCOUNTING_BOOK.accounts)
  const entries = store.collection<LedgerEntryRow>(ACCOUNTING_BOOK.entries)
  const charges = store.collection<ChargeRow>('accounting_charges')
  const report: LedgerReport = { accountsChecked: 0, entriesChecked: 0, problems: [] }

  function complain(accountId: string, invariant: Invariant, detail: string): void {
    if (report.problems.length < MAX_PROBLEMS) report.problems.push({ accountId, invariant, detail })
  }

  const runs = createRunCheck({ accounts, entries, complain })
  for await (const entry of rowsOf(entries)) {
    report.entriesChecked++
    await runs.take(entry)
    if (entry.kind !== 'charge') continue
    const charge = await charges.get(`${entry.requestId}-${entry.attempt}`)
    if (charge?.amount !== -entry.delta) complain(entry.accountId, 'I3', `${entry.id}: not in the outbox as it is here`)
  }
  await runs.end()

  for await (const { id } of rowsOf(accounts)) {
    const found = await checkAccount(accounts, charges, id)
    if (!found) continue
    report.accountsChecked++
    for (const [invariant, detail] of found) complain(id, invariant, detail)
  }
  return report
}

/** Charges to compare with the books of the accounting service, in any order. */
export function reconciliationItems(store: Store): AsyncGenerator<AccountingItemRow> {
  return rowsOf(store.collection<AccountingItemRow>('accounting_items'))
}

/** The findings of one account, or undefined if it kept changing meanwhile. */
async function checkAccount(
  accounts: Collection<AccountingAccountRow>,
  charges: Collection<ChargeRow>,
  id: string
): Promise<Finding[] | undefined> {
  for (let tries = 0; tries < TRIES; tries++) {
    const before = await accounts.get(id)
    if (!before) return undefined
    const sums = await sumsOf(charges, before)
    const after = await accounts.get(id)
    if (JSON.stringify(before) === JSON.stringify(after)) return findingsOf(before, sums)
  }
  return undefined
}

/** `waiting` is what is in the outbox: pending, or closed a moment ago and still at its head. */
async function sumsOf(charges: Collection<ChargeRow>, { id: accountId, head }: AccountingAccountRow) {
  let waiting = 0
  let all = 0
  const where = { equal: { accountId } }
  for await (const page of pagesOf(charges, { where, order: { by: 'createdAt', direction: 'asc' }, limit: 500 }))
    for (const { id, state, amount } of page) {
      all += amount
      if (state === 'pending' || id === head?.chargeId) waiting += amount
    }
  return { waiting, all }
}

function findingsOf(account: AccountingAccountRow, { waiting, all }: { waiting: number; all: number }): Finding[] {
  const { held, holdCount, unsettled, cleared, committed } = account
  const holds = Object.values(account.holds)
  const sum = holds.reduce((total, hold) => total + hold.amount, 0)
  const findings: (Finding | false)[] = [
    held < 0 && ['I1', `held is ${held}`],
    unsettled < 0 && ['I1', `unsettled is ${unsettled}`],
    ...budgetFindings(account.limits),
    sum !== held && ['I2', `held is ${held}, its holds are ${sum}`],
    holds.length !== holdCount && ['I2', `holdCount is ${holdCount}, there are ${holds.length} holds`],
    committed !== held + unsettled + cleared && ['I3', `committed is ${committed}, not the sum of its parts`],
    waiting !== unsettled && ['I3', `unsettled is ${unsettled}, the outbox holds ${waiting}`],
    all !== unsettled + cleared && ['I3', `charges add up to ${all}, unsettled and cleared to ${unsettled + cleared}`]
  ]
  return findings.filter((finding) => finding !== false)
}
