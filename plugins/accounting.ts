import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf } from '../src/auth/identity.ts'
import { type Accounting, createAccounting } from '../src/credits/accounting.ts'
import type { ChargeNews } from '../src/credits/accounting-outbox.ts'
import { type Customer, toCustomer } from '../src/credits/accounting-tokens.ts'
import type { ChargeRow } from '../src/store/accounting-rows.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The service that keeps the balances; null: the ledger of the gateway does. */
    accounting: Accounting | null
    /** Who pays for a request, with the bearer they sent. */
    customerOf(request: FastifyRequest): Customer
  }
}

const HOLD_LEASE_MS = 60_000
const SEND_MS = 1000
const COUNT_MS = 15_000
/** How a piece of news is told: what an operator has to look at is an error. */
const LEVELS: Record<ChargeNews['outcome'], 'debug' | 'warn' | 'error'> = {
  settled: 'debug',
  delayed: 'warn',
  assumed: 'error',
  repeated: 'error',
  refused: 'error',
  late: 'error'
}

/** Balances that another service keeps: the client, and the charges on their way to it. */
export default fp(
  async function accounting(app: FastifyInstance) {
    const { store, clock, ids, config, lifecycle, metrics, users } = app
    const service = config.accounting
    app.decorate('customerOf', customerOf)
    if (!service) {
      app.decorate('accounting', null)
      app.addHook('onReady', warnOfCharges)
      return
    }
    const made = createAccounting({
      ...service,
      store,
      clock,
      ids,
      secret: config.auth.accessSecret ?? app.parts.jwtSecret,
      maxHolds: config.limits.concurrentPerUser,
      leaseMs: HOLD_LEASE_MS,
      async findCustomer(userId) {
        const user = await users.findById(userId)
        return user ? toCustomer(user) : { userId, username: null, email: null, role: 'user' }
      },
      onNews(news) {
        metrics.chargeTold(news.outcome)
        app.log[LEVELS[news.outcome]]({ ...news }, 'charge at the accounting service')
      },
      onError: (err, userId) => app.log.error({ err, userId }, 'accounting failed'),
      track: (work) => void lifecycle.track(work)
    })
    app.decorate('accounting', made)
    lifecycle.every(SEND_MS, 'charges', async function sendCharges() {
      await made.sendDue()
    })
    lifecycle.every(COUNT_MS, 'charge counts', async function countCharges() {
      metrics.accountingCounted(await made.counts())
    })
    app.addHook('onClose', async function closeAccounting() {
      await made.close()
    })

    /** Charges that were on their way when the service was taken out of the configuration. */
    async function warnOfCharges(): Promise<void> {
      const charges = store.collection<ChargeRow>('accounting_charges')
      const pending = await charges.count({ equal: { state: 'pending' } })
      if (pending > 0) app.log.warn({ pending }, 'charges wait for an accounting service, and none is configured')
    }
  },
  { name: 'accounting', dependencies: ['configuration', 'store', 'lifecycle', 'metrics', 'users'] }
)

function customerOf(request: FastifyRequest): Customer {
  const { userId, username, email, role, token, key } = identityOf(request)
  // What else a request with a key sends is nobody's.
  if (key !== null) return { userId, username, email, role }
  const bearer = /^bearer +(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1]
  return { userId, username, email, role, bearer, expiresAt: token.expiresAt }
}
