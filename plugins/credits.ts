import type { FastifyInstance, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { type Bill, createBilling } from '../src/credits/bill.ts'
import { createIdempotency, type Idempotency } from '../src/credits/idempotency.ts'
import { createLedger, type Ledger } from '../src/credits/ledger.ts'
import { createSweeper } from '../src/credits/sweeper.ts'
import { verifyLedger } from '../src/credits/verify.ts'
import { AppError } from '../src/errors.ts'
import type { Exchange } from '../src/flowise/exchange.ts'

declare module 'fastify' {
  interface FastifyInstance {
    ledger: Ledger
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
const SWEEP_MS = 10_000
const VERIFY_MS = 3_600_000
const PURGE_MS = 600_000

/** Step 7 of a prediction: the hold, its renewal, and the settlement when the exchange has ended. */
export default fp(
  async function credits(app: FastifyInstance) {
    const { store, clock, ids, config, lifecycle, metrics } = app
    const ledger = createLedger({ store, clock, ids, maxHolds: config.limits.concurrentPerUser, leaseMs: LEASE_MS })
    const idempotency = createIdempotency({ store, clock })
    const billing = createBilling({
      ledger,
      clock,
      openingMicro: config.credits.openingMicro,
      priceMicro: config.credits.priceMicro,
      onRetry: (error, rid) => app.log.error({ err: error, runId: rid }, 'settlement failed, will be repeated')
    })
    const unsettled = new Set<Bill>()
    const running = new Map<string, number>()
    app.decorate('ledger', ledger)
    app.decorate('idempotency', idempotency)
    app.decorateRequest('bill', null)

    app.decorate('holdCredits', async function holdCredits(request) {
      const { exchange } = request
      if (request.replay !== null || !exchange) return
      try {
        request.bill = await open(exchange)
      } catch (error) {
        // The session and the key must be free again before the client hears of the refusal.
        exchange.end({ ending: 'refused', isClean: true })
        await exchange.concluded
        throw error
      }
    })

    async function open(exchange: Exchange): Promise<Bill> {
      const bill = await billing.open(exchange, exchange.chatflow)
      unsettled.add(bill)
      metrics.creditsMoved('held', bill.hold.amountMicro)
      if (bill.isMetered)
        exchange.onProgress = () => {
          if (bill.isShort())
            lifecycle.run(bill.grow().then((isCovered) => isCovered || exchange.stop('credits_exhausted')))
        }
      exchange.whenEnded(async function settle({ ending }) {
        const { sessionId, messageId } = exchange
        const settled = bill.settle(ending, { sessionId, messageId })
        lifecycle.run(settled.durable.finally(() => unsettled.delete(bill)))
        exchange.receipt = await settled.receipt
        metrics.creditsMoved('charged', exchange.receipt.chargedMicro)
        metrics.creditsMoved('released', bill.hold.amountMicro - exchange.receipt.chargedMicro)
      })
      countRun(exchange)
      return bill
    }

    /** The ledger limits holds; this limits what has none too. After the hold, because 402 goes before 429. */
    function countRun({ userId, beforeConcluded }: Exchange): void {
      const count = running.get(userId) ?? 0
      if (count >= config.limits.concurrentPerUser) throw new AppError('too_many_predictions', { retryAfterSeconds: 1 })
      running.set(userId, count + 1)
      beforeConcluded(async () => {
        const left = (running.get(userId) ?? 1) - 1
        if (left > 0) running.set(userId, left)
        else running.delete(userId)
      })
    }

    lifecycle.every(RENEW_MS, 'hold leases', async function renewHolds() {
      await Promise.allSettled([...unsettled].map((bill) => bill.renew()))
    })
    lifecycle.every(PURGE_MS, 'idempotency keys', async function purgeKeys() {
      await idempotency.purgeExpired()
    })
    lifecycle.every(VERIFY_MS, 'ledger check', async function checkLedger() {
      metrics.ledgerDrift((await verifyLedger(store)).problems.length)
    })
    const sweeper = createSweeper({
      ledger,
      clock,
      everyMs: SWEEP_MS,
      onError: (err) => app.log.error({ err }, 'sweep failed')
    })
    app.addHook('onReady', async function startSweeper() {
      sweeper.start()
    })
    app.addHook('preClose', async function stopSweeper() {
      await sweeper.stop()
    })
  },
  { name: 'credits', dependencies: ['store', 'lifecycle', 'metrics'] }
)
