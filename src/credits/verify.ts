import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AccountRow, LedgerEntryRow } from '../store/collections.ts'
import { pagesOf } from '../store/collect.ts'
import type { Collection, Store } from '../store/port.ts'
import { createRunCheck } from './verify-runs.ts'

export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6'

export interface LedgerProblem {
  accountId: string
  invariant: Invariant
  detail: string
}

export interface LedgerReport {
  accountsChecked: number
  entriesChecked: number
  /** At most a thousand. */
  problems: LedgerProblem[]
}

const PAGE = 500
/** More are not reported. */
export const MAX_PROBLEMS = 1000
/** An account that changes while it is added up is added up again, so often patiently, and then once in one go. */
const PATIENT_TRIES = 4

/**
 * Checks every account and every entry against the invariants of the ledger, in pages, while the gateway goes on working.
 * Reads only. An account that never stands still long enough is left out of `accountsChecked`.
 */
export async function verifyLedger(store: Store): Promise<LedgerReport> {
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const report: LedgerReport = { accountsChecked: 0, entriesChecked: 0, problems: [] }
  const ownerless = new Set<string>()

  function complain(accountId: string, invariant: Invariant, detail: string): void {
    if (report.problems.length < MAX_PROBLEMS) report.problems.push({ accountId, invariant, detail })
  }

  const runs = createRunCheck({ accounts, entries, complain })
  for await (const entry of rowsOf(entries)) {
    report.entriesChecked++
    ownerless.add(entry.accountId)
    await runs.take(entry)
  }
  await runs.end()

  for await (const { id } of rowsOf(accounts)) {
    ownerless.delete(id)
    const found = await checkAccount(accounts, entries, id)
    if (!found) continue
    report.accountsChecked++
    for (const [invariant, detail] of found) complain(id, invariant, detail)
  }
  for (const accountId of ownerless) {
    if (!(await accounts.get(accountId))) complain(accountId, 'I3', 'entries without an account')
  }
  return report
}

export type Finding = readonly [Invariant, string]

/** The findings of one account, or undefined if it kept changing meanwhile. */
async function checkAccount(
  accounts: Collection<AccountRow>,
  entries: Collection<LedgerEntryRow>,
  id: string
): Promise<Finding[] | undefined> {
  for (let tries = 0; tries <= PATIENT_TRIES; tries++) {
    const before = await accounts.get(id)
    if (!before) return undefined
    const posted = await sumOf(entries, id, tries < PATIENT_TRIES)
    const after = await accounts.get(id)
    if (JSON.stringify(before) === JSON.stringify(after)) return findingsOf(before, posted)
  }
  return undefined
}

function findingsOf(account: AccountRow, posted: number): Finding[] {
  const { available, held, holdCount } = account
  const holds = Object.values(account.holds)
  const sum = holds.reduce((total, hold) => total + hold.amount, 0)
  const findings: (Finding | false)[] = [
    available < 0 && ['I1', `available is ${available}`],
    held < 0 && ['I1', `held is ${held}`],
    ...budgetFindings(account.limits),
    sum !== held && ['I2', `held is ${held}, its holds are ${sum}`],
    holds.length !== holdCount && ['I2', `holdCount is ${holdCount}, there are ${holds.length} holds`],
    posted !== available + held && ['I3', `entries add up to ${posted}, the balance is ${available + held}`]
  ]
  return findings.filter((finding) => finding !== false)
}

/** A budget is as much a balance as the rest: it is never overdrawn. */
export function budgetFindings(limits: Record<string, number> = {}): Finding[] {
  return Object.entries(limits)
    .filter(([, left]) => left < 0)
    .map(([counter, left]) => ['I1', `${counter} has ${left} left`])
}

async function sumOf(entries: Collection<LedgerEntryRow>, accountId: string, isPatient: boolean): Promise<number> {
  let sum = 0
  const where = { equal: { accountId, isPosting: true } }
  for await (const page of pagesOf(entries, { where, order: { by: 'at', direction: 'asc' }, limit: PAGE })) {
    for (const { delta } of page) sum += delta
    if (isPatient && page.length === PAGE) await nextTurn()
  }
  return sum
}

/** Every row of a collection, in pages, by id. */
export async function* rowsOf<D extends { id: string }>(collection: Collection<D>): AsyncGenerator<D> {
  for await (const page of pagesOf(collection, { limit: PAGE })) {
    yield* page
    // Others get their turn: a store in this process answers without ever leaving it.
    await nextTurn()
  }
}
