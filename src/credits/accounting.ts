import type { Clock } from '../clock.ts'
import type { Ids } from '../ids.ts'
import type { AccountingAccountRow, AccountingItemRow, ChargeRow } from '../store/accounting-rows.ts'
import type { Store } from '../store/port.ts'
import { type AccountingClient, createAccountingClient, type Customer, type Usage } from './accounting-client.ts'
import { createAccountingHolds } from './accounting-holds.ts'
import { type ChargeNews, createOutbox } from './accounting-outbox.ts'
import { chargeId } from './accounting-writes.ts'
import type { CreditAccounts } from './accounts.ts'
import type { Hold } from './hold.ts'
import type { Holds } from './holds.ts'
import { accountingBalanceView, chargePage, entriesQuery } from './view.ts'

/** Credits whose balance another service keeps (ADR 14). */
export interface Accounting extends CreditAccounts {
  /** The account, made if need be. */
  open(userId: string): Promise<AccountingAccountRow>
  /** The holds of a request; what they charge goes to the service. */
  holdsOf(customer: Customer): Holds
  expireDue(dueAt?: number): Promise<number>
  /** Tries whatever is due. */
  sendDue(): Promise<number>
  /** What a prediction came to, for the service's records; best effort. */
  record(usage: Omit<Usage, 'chargeId'>, hold: Hold, customer: Customer): Promise<void>
  counts(): Promise<{ pending: number; items: number }>
  ping(): Promise<void>
  close(): Promise<void>
}

export interface AccountingOptions {
  store: Store
  clock: Clock
  ids: Ids
  url: string
  form: 'seed' | 'v1'
  timeoutMs: number
  secret: string
  maxHolds: number
  leaseMs: number
  findCustomer: (userId: string) => Promise<Customer>
  onNews: (news: ChargeNews) => void
  onError: (error: unknown, userId: string) => void
  /** Waits at a shutdown for work that nobody else waits for. */
  track: (work: Promise<unknown>) => void
}

/** Client, holds and outbox over this store. */
export function createAccounting(options: AccountingOptions): Accounting {
  const { store, clock, track, onError } = options
  const client: AccountingClient = createAccountingClient(options)
  const holds = createAccountingHolds({ ...options, readBalance: (customer) => client.balance(customer) })
  const outbox = createOutbox({ ...options, client })
  const accounts = store.collection<AccountingAccountRow>('accounting_accounts')
  const charges = store.collection<ChargeRow>('accounting_charges')
  const items = store.collection<AccountingItemRow>('accounting_items')

  /** For the receipt of a free run, which waits for no balance. */
  async function refresh(customer: Customer): Promise<void> {
    try {
      const { cleared } = await holds.open(customer.userId)
      const { micro } = await client.balance(customer)
      await accounts.update(customer.userId, {}, { set: { ceiling: micro + cleared } })
    } catch {
      // The receipt shows the balance that was known before.
    }
  }

  return {
    open: holds.open,
    holdsOf(customer) {
      const own = holds.as(customer)
      return {
        ...own,
        free(run) {
          track(refresh(customer))
          return own.free(run)
        },
        async settle(hold, costMicro, meta) {
          const settlement = await own.settle(hold, costMicro, meta)
          if (settlement.chargedMicro > 0) {
            outbox.remember(chargeId(hold), customer)
            track(outbox.send(hold.accountId))
          }
          return settlement
        }
      }
    },
    expireDue: (dueAt) => holds.expireDue(dueAt),
    sendDue: () => outbox.sendDue(),
    async balance(customer) {
      // In this order: what is deducted in between is told twice rather than not at all.
      const account = await holds.open(customer.userId)
      const { micro } = await client.balance(customer)
      return accountingBalanceView(account, micro)
    },
    async transactions(userId, { limit, cursor }) {
      const { after, limit: rows } = entriesQuery(limit, cursor)
      const found = await charges.list({
        where: { equal: { accountId: userId } },
        order: { by: 'createdAt', direction: 'desc' },
        ...(after && { after }),
        limit: rows
      })
      return chargePage(found, limit)
    },
    async setFrozen(userId, isFrozen, append) {
      await holds.open(userId)
      return holds.setFrozen(userId, isFrozen, append)
    },
    async record(usage, hold, customer) {
      const { expiresAt = 0, bearer } = customer
      const isOver = expiresAt <= clock.now()
      const asked = { ...customer, bearer: isOver ? undefined : bearer }
      await client
        .record({ ...usage, chargeId: usage.credits > 0 ? chargeId(hold) : null }, asked)
        .catch((error: unknown) => onError(error, customer.userId))
    },
    async counts() {
      const [pending, found] = await Promise.all([charges.count({ equal: { state: 'pending' } }), items.count({})])
      return { pending, items: found }
    },
    ping: () => client.ping(),
    close: () => client.close()
  }
}
