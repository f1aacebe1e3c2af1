import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { toCredits } from '../src/credits/pricing.ts'
import { createFreeRuns, type FreeRuns } from '../src/usage/free-runs.ts'
import { createReceipts, type Receipts } from '../src/usage/receipts.ts'
import { createReceiptView, type ReceiptView } from '../src/usage/receipt-view.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The runs that cost nothing; the books know only the others. */
    freeRuns: FreeRuns
    receipts: Receipts
    receiptView: ReceiptView
    /**
     * The event `gateway.receipt` for the end of a stream, as one line of JSON; undefined unless the request asks for it
     * with `X-Gateway-Receipt: true`: clients hand on events that they do not know.
     */
    receiptEvent(request: FastifyRequest): Promise<string | undefined>
  }
}

/** Reports reach back so far. */
const KEPT_MS = 93 * 86_400_000
const PURGE_MS = 600_000
export const RECEIPT_EVENT = 'gateway.receipt'

/** What predictions have used. */
export default fp(
  async function usage(app: FastifyInstance) {
    const { store, clock, lifecycle, takeTurn } = app
    const freeRuns = createFreeRuns({
      store,
      clock,
      keptMs: KEPT_MS,
      track: (work) => void lifecycle.track(work).catch(() => {})
    })
    app.decorate('freeRuns', freeRuns)
    const receipts = createReceipts({ store, freeRuns, running })
    app.decorate('receipts', receipts)
    app.decorate('receiptView', createReceiptView({ toCredits }))

    app.decorate('receiptEvent', async function receiptEvent({ exchange, identity, headers }) {
      const isAsked = String(headers['x-gateway-receipt']).toLowerCase() === 'true'
      // What a visitor's answer costs is the business of whoever pays.
      if (!isAsked || !exchange || identity?.key?.kind === 'embed_token') return undefined
      try {
        const record = await receipts.find(exchange.messageId)
        return record && JSON.stringify({ event: RECEIPT_EVENT, data: app.receiptView(record) })
      } catch (err) {
        app.log.warn({ err, request_id: exchange.requestId }, 'no receipt for the end of a stream')
        return undefined
      }
    })

    function running(runId: string) {
      const exchange = app.exchanges.get(runId)
      if (!exchange) return undefined
      const { userId, chatflow, startedAt, sessionId, messageId } = exchange
      // One that costs something is in the books in a moment.
      if (chatflow.metered || (chatflow.priceMicro ?? app.config.credits.priceMicro) > 0) return undefined
      return { userId, chatflowId: chatflow.id, startedAt, meta: { sessionId, messageId } }
    }

    lifecycle.every(PURGE_MS, 'free runs', async function purgeFreeRuns() {
      await takeTurn('free-run-purge', PURGE_MS, () => freeRuns.purgeExpired())
    })
  },
  { name: 'usage', dependencies: ['store', 'bus', 'lifecycle'] }
)
