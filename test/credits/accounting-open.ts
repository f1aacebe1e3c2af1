import type { Test } from 'tap'
import { type AccountingClient, createAccountingClient, type Customer } from '../../src/credits/accounting-client.ts'
import { createAccountingHolds } from '../../src/credits/accounting-holds.ts'
import { type ChargeNews, createOutbox } from '../../src/credits/accounting-outbox.ts'
import { type Clock, createSystemClock } from '../../src/clock.ts'
import { createIds } from '../../src/ids.ts'
import type { AccountingAccountRow, AccountingItemRow, ChargeRow } from '../../src/store/accounting-rows.ts'
import type { Store } from '../../src/store/port.ts'
import { type AccountingService, startAccountingService } from '../stand-in/accounting-service.ts'
import { openTestStore } from './open.ts'

export const SECRET = 'shared-with-the-accounting-service-of-the-tests'
export const CREDIT = 1_000_000
export const USER = 'user-1'
export const FORMS = ['seed', 'v1'] as const

export interface BooksOptions {
  form?: 'seed' | 'v1'
  clock?: Clock
  store?: Store
  timeoutMs?: number
  isIdempotent?: boolean
  service?: AccountingService
}

/** Somebody whose tokens are minted. */
export const customer = (userId = USER): Customer => ({
  userId,
  username: 'ann',
  email: `${userId}@example.com`,
  role: 'user'
})

/** A stand-in of the service that is closed with the test. */
export async function startService(t: Test, options: { isIdempotent?: boolean } = {}): Promise<AccountingService> {
  const service = await startAccountingService({ secret: SECRET, ...options })
  t.teardown(() => service.close())
  return service
}

/** A client of it. */
export function openClient(
  t: Test,
  url: string,
  { form = 'seed', clock = createSystemClock(), timeoutMs = 2000 }: BooksOptions = {}
): AccountingClient {
  const client = createAccountingClient({ url, form, timeoutMs, secret: SECRET, clock })
  t.teardown(() => client.close())
  return client
}

/** The books of one process in front of a stand-in, with all that a test looks at. */
export async function openAccounting(t: Test, options: BooksOptions = {}) {
  const { form = 'seed', clock = createSystemClock(), timeoutMs = 2000 } = options
  const service = options.service ?? (await startService(t, options))
  const store = options.store ?? openTestStore(t)
  const ids = createIds()
  const client = openClient(t, service.url, { form, clock, timeoutMs })
  const holds = createAccountingHolds({
    store,
    clock,
    ids,
    maxHolds: 1000,
    leaseMs: 60_000,
    readBalance: (who) => client.balance(who)
  })
  const news: ChargeNews[] = []
  const errors: unknown[] = []
  const outbox = createOutbox({
    store,
    clock,
    ids,
    client,
    timeoutMs,
    findCustomer: async (userId) => customer(userId),
    onNews: (told) => void news.push(told),
    onError: (error) => void errors.push(error)
  })
  const accounts = store.collection<AccountingAccountRow>('accounting_accounts')
  const charges = store.collection<ChargeRow>('accounting_charges')
  const items = store.collection<AccountingItemRow>('accounting_items')
  const run = (userId = USER) => ({ rid: ids.run(), accountId: userId, chatflowId: 'flow' })

  /** Holds an amount of credits, as for a prediction. */
  async function reserve(credits = 1, userId = USER) {
    await holds.open(userId)
    return holds.as(customer(userId)).reserve({ ...run(userId), amountMicro: credits * CREDIT })
  }

  return {
    service,
    store,
    clock,
    client,
    holds,
    outbox,
    news,
    errors,
    run,
    reserve,
    /** A charge in the outbox; answers its id. */
    async charge(credits = 1, userId = USER) {
      const hold = await reserve(credits, userId)
      await holds.settle(hold, credits * CREDIT, { sessionId: 's', messageId: 'm' })
      return `${hold.rid}-${hold.attempt}`
    },
    /** Brings the next try near: nobody waits for the back-off. */
    due: (userId = USER) => accounts.update(userId, {}, { set: { sendAt: 0 } }),
    account: async (userId = USER) => accounts.get(userId),
    charges: () => charges.list({ limit: 1000 }),
    items: () => items.list({ limit: 1000 }),
    accounts
  }
}
