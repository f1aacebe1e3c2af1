import type { Clock } from '../clock.ts'
import type { Ids } from '../ids.ts'
import type { AccountingAccountRow, ChargeRow } from '../store/accounting-rows.ts'
import type { Store } from '../store/port.ts'
import { type Claim, type Closing, createChargeBook } from './accounting-charges.ts'
import type { AccountingClient, Asker, Customer } from './accounting-client.ts'
import { MICRO_PER_CREDIT } from './pricing.ts'

/** What became of a charge, or of a try. */
export interface ChargeNews {
  chargeId: string
  userId: string
  amountMicro: number
  outcome: 'settled' | 'assumed' | 'repeated' | 'refused' | 'delayed' | 'late'
  reason: string
}

export interface Outbox {
  /** Sends what waits of this user, as far as it is due. Its failures go to onError. */
  send(userId: string): Promise<void>
  /** The same of everybody for whom something is due; answers how many users that were. */
  sendDue(): Promise<number>
  /** On whose bearer the charge may go at first, while this process has it. */
  remember(chargeId: string, customer: Customer): void
}

export interface OutboxOptions {
  store: Store
  clock: Clock
  ids: Ids
  client: Pick<AccountingClient, 'look' | 'deduct'>
  /** Longest time of one call to the service. */
  timeoutMs: number
  /** Who a user is, for calls without their bearer. */
  findCustomer: (userId: string) => Promise<Customer>
  onNews: (news: ChargeNews) => void
  onError: (error: unknown, userId: string) => void
}

/** Beyond the two calls of a try: the store's part of it. */
const LEASE_MARGIN_MS = 20_000
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 300_000
const SENDERS = 16
const PAGE = 100
const MAX_REMEMBERED = 10_000

/** Brings charges to the accounting service: each user's in their order, one at a time, however many processes send. */
export function createOutbox(options: OutboxOptions): Outbox {
  const { store, clock, ids, client, timeoutMs, findCustomer, onNews, onError } = options
  const accounts = store.collection<AccountingAccountRow>('accounting_accounts')
  const book = createChargeBook({ store, clock, leaseMs: 2 * timeoutMs + LEASE_MARGIN_MS })
  const customers = new Map<string, Customer>()
  const sending = new Map<string, { isAskedAgain: boolean; done: Promise<void> }>()

  /** One sender per user in this process; what comes while it is busy is seen when it looks again. */
  function send(userId: string): Promise<void> {
    const busy = sending.get(userId)
    if (busy) {
      busy.isAskedAgain = true
      return busy.done
    }
    const mine = { isAskedAgain: true, done: Promise.resolve() }
    sending.set(userId, mine)
    mine.done = sendWhileAsked(userId, mine).finally(() => sending.delete(userId))
    return mine.done
  }

  async function sendWhileAsked(userId: string, mine: { isAskedAgain: boolean }): Promise<void> {
    while (mine.isAskedAgain) {
      mine.isAskedAgain = false
      try {
        while (await sendNext(userId));
      } catch (error) {
        onError(error, userId)
      }
    }
  }

  /** True if a charge has left the outbox. */
  async function sendNext(userId: string): Promise<boolean> {
    const claim = await book.claim(userId, ids.run())
    if (!claim) return false
    const { charge } = claim
    if (charge.state === 'pending' && !(await tryOnce(claim))) return false
    customers.delete(charge.id)
    await book.clear(charge)
    return true
  }

  /** One try. True if the charge is closed, by whomever. */
  async function tryOnce(claim: Claim): Promise<boolean> {
    const { charge, head, until } = claim
    const asker = await askerOf(charge, head.asService)
    const seen = await client.look(asker)
    if (!('micro' in seen)) return delay(claim, seen.reason, { asService: asker.asService || seen.isUnauthorized })
    const balance = seen.micro
    // Of a try whose result nobody has written down nothing is known either.
    const isUncertain = charge.isUncertain || charge.isSent
    const { balanceBefore = balance, amount } = charge
    if (isUncertain && balanceBefore - balance >= amount)
      return close(claim, { state: 'settled', kind: 'assumed', balance, isBegun: false }, 'the balance had fallen')
    if (balance < amount)
      return close(claim, { state: 'refused', kind: 'refused', balance, isBegun: false }, 'the balance is too small')
    if (!(await book.begin(claim, { balance, isUncertain }))) return book.isClosed(charge)
    // A process that stood still must not send in somebody else's turn.
    if (clock.now() + timeoutMs > until) return pass(claim, isUncertain)
    const due = { id: charge.id, userId: charge.accountId, credits: amount / MICRO_PER_CREDIT }
    const { outcome, reason, retryAfterMs = 0 } = await client.deduct(due, asker)
    if (outcome === 'settled' || outcome === 'refused') {
      const doubt = outcome === 'refused' ? 'refused' : 'repeated'
      const isDoubtful = outcome === 'refused' || isUncertain
      return close(claim, { state: outcome, ...(isDoubtful && { kind: doubt }), balance, isBegun: true }, reason)
    }
    await book.end(claim, { isUncertain: isUncertain || outcome === 'unknown' })
    return delay(claim, reason, { asService: asker.asService || outcome === 'unauthorized', atLeastMs: retryAfterMs })
  }

  async function close(claim: Claim, closing: Closing, reason: string): Promise<boolean> {
    const { charge } = claim
    if (await book.close(claim, closing)) {
      tell(charge, closing.kind ?? closing.state, reason)
      return true
    }
    // Whoever has the turn now counts this try as one of unknown outcome.
    if (closing.isBegun && closing.state === 'settled') {
      await book.noteLate(claim, closing.balance)
      tell(charge, 'late', reason)
    }
    return book.isClosed(charge)
  }

  async function pass(claim: Claim, isUncertain: boolean): Promise<false> {
    await book.end(claim, { isUncertain })
    return false
  }

  async function delay(
    claim: Claim,
    reason: string,
    { asService, atLeastMs = 0 }: { asService: boolean; atLeastMs?: number }
  ): Promise<false> {
    const backOffMs = FIRST_DELAY_MS * 2 ** Math.min(claim.head.tries, 20)
    const delayMs = Math.min(LONGEST_DELAY_MS, Math.max(backOffMs, atLeastMs))
    await book.postpone(claim, { delayMs, asService })
    tell(claim.charge, 'delayed', reason)
    return false
  }

  /** Without the client's bearer, or with one that has run out, the gateway goes by itself. */
  async function askerOf({ id, accountId }: ChargeRow, asService: boolean): Promise<Asker> {
    const known = asService ? undefined : customers.get(id)
    const { expiresAt = Number.POSITIVE_INFINITY } = known ?? {}
    if (known && expiresAt > clock.now()) return { customer: known, asService: false }
    return { customer: await findCustomer(accountId), asService: true }
  }

  function tell({ id, accountId, amount }: ChargeRow, outcome: ChargeNews['outcome'], reason: string): void {
    onNews({ chargeId: id, userId: accountId, amountMicro: amount, outcome, reason })
  }

  return {
    send,
    async sendDue() {
      const due = await accounts.list({
        where: { lt: { sendAt: clock.now() + 1 } },
        order: { by: 'sendAt', direction: 'asc' },
        limit: PAGE
      })
      const users = due.map(({ id }) => id)
      const senders = Array.from({ length: SENDERS }, async () => {
        for (let user = users.shift(); user !== undefined; user = users.shift()) await send(user)
      })
      await Promise.all(senders)
      return due.length
    },
    remember(chargeId, customer) {
      // Without it the charge goes with the service token.
      if (customers.size >= MAX_REMEMBERED) customers.clear()
      customers.set(chargeId, customer)
    }
  }
}
