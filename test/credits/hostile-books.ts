import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import { BUDGET, MAX_HOLDS } from './hostile-actors.ts'

/** What a database holds of the account at one moment. */
export interface Books {
  account: AccountRow | undefined
  /** Published entries, and those that wait to be. */
  entries: LedgerEntryRow[]
}

export interface BooksCheck {
  /** @throws when the books are not in order, or an entry seen before has changed or is gone */
  look(books: Books): void
}

/** Looks at the books again and again; between two looks nothing that was entered may change. */
export function createBooksCheck(): BooksCheck {
  let seen = new Map<string, string>()
  let isEnded = false
  return {
    look({ account, entries }) {
      const hasBudget = account?.limits[BUDGET] !== undefined
      if (isEnded && hasBudget) throw new Error('A budget that was ended is back')
      isEnded = account !== undefined && !hasBudget
      if (account) requireInOrder(account, entries)
      const present = new Map<string, string>()
      for (const entry of entries) {
        const text = JSON.stringify(entry)
        // Published and still waiting at once, or just as it was a moment ago.
        if ((present.get(entry.id) ?? seen.get(entry.id) ?? text) !== text)
          throw new Error(`Entry ${entry.id} has changed`)
        present.set(entry.id, text)
      }
      for (const [id] of seen) if (!present.has(id)) throw new Error(`Entry ${id} is gone`)
      seen = present
    }
  }
}

/** What must be true when all is over: nothing is held, and the budget went down by what was charged, or was ended. */
export function requireAtRest({ account, entries }: Books, budgetMicro: number): void {
  if (!account || account.held !== 0 || account.holdCount !== 0) throw new Error('A hold leaked')
  const charged = chargesOf(entries).reduce((sum, { delta }) => sum - delta, 0)
  const left = account.limits[BUDGET]
  if (left !== undefined && left !== budgetMicro - charged) throw new Error('The budget drifted')
}

function requireInOrder({ available, held, holds, holdCount, limits }: AccountRow, entries: LedgerEntryRow[]): void {
  const amounts = Object.values(holds).map((hold) => hold.amount)
  const charges = chargesOf(entries).map(({ id, requestId }) => [id, requestId] as const)
  const charged = new Map(charges)
  if (available < 0 || held < 0 || Object.values(limits).some((left) => left < 0)) throw new Error('Overdrawn')
  if (amounts.reduce((sum, amount) => sum + amount, 0) !== held) throw new Error('held is not the sum of the holds')
  if (amounts.length !== holdCount || holdCount > MAX_HOLDS) throw new Error('The number of holds is wrong')
  const deltas = new Map(entries.map(({ id, delta }) => [id, delta]))
  if ([...deltas.values()].reduce((sum, delta) => sum + delta, 0) !== available + held)
    throw new Error('The entries are not the balance')
  if (new Set(charged.values()).size < charged.size) throw new Error('A run was charged twice')
}

function chargesOf(entries: LedgerEntryRow[]): LedgerEntryRow[] {
  return entries.filter(({ kind }) => kind === 'charge')
}
