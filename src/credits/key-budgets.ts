import type { Clock } from '../clock.ts'
import type { Document, Store } from '../store/port.ts'

/** Counters in the accounts of users: what may still be spent through one key. Reservations reduce them (design: credits). */
export interface KeyBudgets {
  /** Makes this what is left; what running predictions give back comes on top. Makes the account if need be. */
  set(userId: string, counter: string, leftMicro: number): Promise<void>
  /** Ends the budget: nothing can be reserved of it any more, and what runs settles without it. */
  drop(userId: string, counter: string): Promise<void>
  /** What is left of each, micro-credits. */
  left(userId: string): Promise<Readonly<Record<string, number>>>
}

export interface KeyBudgetsOptions {
  store: Store
  clock: Clock
  /** The collection of the accounts that reservations are made in. */
  accounts: string
  openAccount: (userId: string) => Promise<unknown>
}

interface LimitedRow extends Document {
  limits?: Record<string, number>
}

/** The budgets in the accounts of this book. */
export function createKeyBudgets({ store, clock, accounts, openAccount }: KeyBudgetsOptions): KeyBudgets {
  const rows = store.collection<LimitedRow>(accounts)
  const pathOf = (counter: string) => `limits.${counter}`

  return {
    async set(userId, counter, leftMicro) {
      await openAccount(userId)
      await rows.update(userId, {}, { set: { [pathOf(counter)]: leftMicro, updatedAt: clock.now() } })
    },
    async drop(userId, counter) {
      const isThere = { exists: { [pathOf(counter)]: true } }
      await rows.update(userId, isThere, { unset: [pathOf(counter)], set: { updatedAt: clock.now() } })
    },
    left: async (userId) => (await rows.get(userId))?.limits ?? {}
  }
}
