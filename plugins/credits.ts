import type { FastifyInstance, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { createLedgerAccounts, type CreditAccounts } from '../src/credits/accounts.ts'
import type { Bill } from '../src/credits/bill.ts'
import { createBilling } from '../src/credits/billing.ts'
import { ACCOUNTING_BOOK, LEDGER_BOOK } from '../src/credits/book-names.ts'
import type { Customer } from '../src/credits/accounting-tokens.ts'
import { within } from '../src/credits/holds.ts'
import { createIdempotency, type Idempotency } from '../src/credits/idempotency.ts'
import { createLedger, type Ledger } from '../src/credits/ledger.ts'
import { MICRO_PER_CREDIT, toCredits } from '../src/credits/pricing.ts'
import { createSweeper } from '../src/credits/sweeper.ts'
import { verifyBooks } from '../src/credits/verify-books.ts'
import { AppError } from '../src/errors.ts'
import type { Exchange, Outcome } from '../src/flowise/exchange.ts'

declare module 'fastify' {
  interface FastifyInstance {
    ledger: Ledger
    /** Whoever keeps the balances. */
    creditAccounts: CreditAccounts
    idempotency: Idempotency
    holdCredits: preHandlerAsyncHookHandler
  }
  interface FastifyRequest {
    /** What this prediction owes; holding the credits is what makes it. */
    bill: Bill | null
  }
}

const LEASE_MS = 60_000
const RENEW_MS = 15_000
/** How often is looked for holds whose time to be renewed has come. */
const RENEW_STEP_MS = 250
const SWEEP_MS = 10_000
const VERIFY_MS = 3_600_000
const PURGE_MS = 600_000
const DRIFT = 'ledger-drift'

/** Step 7 of a prediction: the hold, its renewal, and the settlement when the exchange has ended. */
export default fp(
  async function credits(app: FastifyInstance) {
    const { store, clock, ids, config, lifecycle, metrics, bus, takeTurn, accounting } = app
    const { openingMicro, priceMicro } = config.credits
    const ledger = createLedger({ store, clock, ids, maxHolds: config.limits.concurrentPerUser, leaseMs: LEASE_MS })
    const idempotency = createIdempotency({ store, clock, ids, book: accounting ? ACCOUNTING_BOOK : LEDGER_BOOK })
    const billing = createBilling({
      clock,
      openAccount: (userId) => (accounting ? accounting.open(userId) : ledger.open(userId, openingMicro)),
      unitMicro: accounting ? MICRO_PER_CREDIT : 1,
      priceMicro,
      onRetry: (error, rid) => app.log.error({ err: error, runId: rid }, 'settlement failed, will be repeated'),
      onFreeEnd: app.freeRuns.ended
    })
    /** In the order in which they are to be renewed. */
    const unsettled = new Map<Bill, { exchange: Exchange; renewAt: number }>()
    /** The key of the place that each running prediction has. */
    const running = new Map<Exchange, string>()
    app.decorate('ledger', ledger)
    app.decorate('creditAccounts', accounting ?? createLedgerAccounts({ ledger, openingMicro }))
    app.decorate('idempotency', idempotency)
    app.decorateRequest('bill', null)

    app.decorate('holdCredits', async function holdCredits(request) {
      const { exchange } = request
      if (request.replay !== null || !exchange) return
      try {
        const customer = accounting && app.customerOf(request)
        const bill = await open(exchange, request, customer)
        settleAtEnd(exchange, bill, customer)
        const place = placesOf(exchange)
        // The ledger limits holds; this limits what has none too. After the hold, because 402 goes before 429.
        if (!(await takePlace(exchange, place))) throw new AppError('too_many_predictions', { retryAfterSeconds: 1 })
        running.set(exchange, place)
        exchange.beforeConcluded(() => {
          running.delete(exchange)
          return bus.release(place, exchange.runId)
        })
        request.bill = bill
      } catch (error) {
        // The session and the key must be free again before the client hears of the refusal.
        exchange.end({ ending: 'refused', isClean: true })
        await exchange.concluded
        throw error
      }
    })

    function open(exchange: Exchange, { identity }: FastifyRequest, customer: Customer | null): Promise<Bill> {
      const key = identity?.key ?? null
      const payer = accounting && customer ? accounting.holdsOf(customer) : ledger
      // A key with a budget needs room there, too.
      const holds = key?.budget ? within(payer, [key.budget]) : payer
      return billing.open(exchange, exchange.chatflow, { holds, key })
    }

    function settleAtEnd(exchange: Exchange, bill: Bill, customer: Customer | null): void {
      toRenew(bill, exchange)
      metrics.creditsMoved('held', bill.hold.amountMicro)
      if (bill.isMetered)
        exchange.onProgress = () => {
          if (bill.isShort()) lifecycle.run(cover(exchange, bill))
        }
      // Nobody waits any more for the readers of one that ended while its credits were being held.
      if (exchange.outcome) lifecycle.run(settle(exchange, bill, exchange.outcome))
      else exchange.whenEnded((outcome) => settle(exchange, bill, outcome))
      if (customer) exchange.beforeConcluded((outcome) => recordUsage(exchange, bill, customer, outcome))
    }

    /** Lets the hold grow until it is large enough again for what came while it grew. */
    async function cover(exchange: Exchange, bill: Bill): Promise<void> {
      while (bill.isShort()) {
        const { amountMicro } = bill.hold
        if (!(await bill.grow())) return exchange.stop('credits_exhausted')
        // Refused, and what is held still covers what was delivered: the next event asks again.
        if (bill.hold.amountMicro === amountMicro) return
      }
    }

    async function settle(exchange: Exchange, bill: Bill, { ending, firstAnswerAt }: Outcome): Promise<void> {
      const { startedAt, kept } = exchange
      const firstAnswerMs = firstAnswerAt === undefined ? undefined : firstAnswerAt - startedAt
      const { amounts, later } = await bill.settle({ ending, durationMs: clock.now() - startedAt, firstAnswerMs }, kept)
      if (later) lifecycle.run(later.finally(() => unsettled.delete(bill)))
      else unsettled.delete(bill)
      exchange.receipt = amounts
      metrics.creditsMoved('charged', amounts.chargedMicro)
      metrics.creditsMoved('released', bill.hold.amountMicro - amounts.chargedMicro)
    }

    /** For the service's records: one for each prediction that Flowise has heard of. The client does not wait for it. */
    function recordUsage(exchange: Exchange, bill: Bill, customer: Customer, { ending, code }: Outcome): void {
      if (!accounting || !exchange.isSent || code === 'upstream_unavailable') return
      const { chatflow, kind, sessionId, messageId } = exchange
      const charged = toCredits(exchange.receipt?.chargedMicro ?? 0)
      const about = { chatflowId: chatflow.id, isStream: kind === 'sse', sessionId, messageId }
      const usage = { ...about, credits: charged, isSuccess: ending === 'completed' && charged > 0 }
      void lifecycle.track(accounting.record(usage, bill.hold, customer))
    }

    function takePlace({ runId }: Exchange, place: string): Promise<boolean> {
      return bus.acquire(place, runId, LEASE_MS, config.limits.concurrentPerUser)
    }

    /** The last step before the time has passed. */
    function toRenew(bill: Bill, exchange: Exchange): void {
      unsettled.delete(bill)
      unsettled.set(bill, { exchange, renewAt: clock.now() + RENEW_MS - RENEW_STEP_MS })
    }

    function* dueForRenewal(now: number): Generator<[Bill, Exchange]> {
      for (const [bill, { exchange, renewAt }] of unsettled) {
        if (renewAt > now) return
        yield [bill, exchange]
      }
    }

    // Each in its time: all at once would hold up every stream for as long as it takes to store what they have said.
    lifecycle.every(RENEW_STEP_MS, 'hold leases', async function renewHolds() {
      const due = [...dueForRenewal(clock.now())]
      const renewed = await Promise.allSettled(
        due.map(([bill, exchange]) => {
          toRenew(bill, exchange)
          return bill.renew(exchange.kept)
        })
      )
      if (renewed.some(({ status }) => status === 'rejected')) sweeper.doubt()
    })
    lifecycle.every(RENEW_MS, 'places of runs', async function renewPlaces() {
      await Promise.allSettled([...running].map(([exchange, place]) => takePlace(exchange, place)))
    })
    lifecycle.every(PURGE_MS, 'idempotency keys', async function purgeKeys() {
      await takeTurn('idempotency-purge', PURGE_MS, () => idempotency.purgeExpired())
    })
    lifecycle.every(VERIFY_MS, 'ledger check', async function checkLedger() {
      const found = await takeTurn('ledger-check', VERIFY_MS, () => verifyBooks(store))
      if (found) bus.publish(DRIFT, String(found.problems.length))
    })
    // Whoever checked, all show the result: a process that checks no more would show an old one for ever.
    bus.subscribe(DRIFT, (count) => metrics.ledgerDrift(Number(count)))
    const sweeper = createSweeper({
      expireDue: (dueAt) => takeTurn('sweep', SWEEP_MS, () => expireDue(dueAt)),
      clock,
      everyMs: SWEEP_MS,
      graceMs: RENEW_MS + SWEEP_MS,
      onError: (err) => app.log.error({ err }, 'sweep failed')
    })
    /** The ledger's too where the balances are elsewhere now: holds from before must end. */
    async function expireDue(dueAt: number): Promise<number> {
      return (await ledger.expireDue(dueAt)) + ((await accounting?.expireDue(dueAt)) ?? 0)
    }
    app.addHook('onReady', async function startSweeper() {
      sweeper.start()
    })
    app.addHook('preClose', async function stopSweeper() {
      await sweeper.stop()
    })
  },
  { name: 'credits', dependencies: ['store', 'bus', 'lifecycle', 'metrics', 'accounting', 'usage'] }
)

/** The key of the lease that has a place for each prediction of the user that may run at once. */
function placesOf({ userId }: Exchange): string {
  return `runs:${userId}`
}
