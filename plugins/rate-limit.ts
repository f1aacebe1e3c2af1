import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf } from '../src/auth/identity.ts'
import { createThrottle, type Throttle } from '../src/auth/throttle.ts'

declare module 'fastify' {
  interface FastifyInstance {
    throttle: Throttle
    /** onRequest hook behind authenticate: predictions per user and minute. */
    limitPredictions(request: FastifyRequest): Promise<void>
  }
}

/** An auth service takes 100 calls in the same time from all users together: one address gets no more than half. */
const SERVICE_SHARE = 50

/** How often: predictions of a user, failed logins. */
export default fp(
  async function rateLimit(app: FastifyInstance) {
    const { limits, loginFailureLimit: loginFailures, auth } = app.config
    const { predictionsPerMinute } = limits
    const isShared = auth.mode === 'external'
    const throttle = createThrottle(app.bus, {
      predictionsPerMinute,
      loginFailures,
      ...(isShared ? { addressFailures: SERVICE_SHARE } : {})
    })
    app.decorate('throttle', throttle)
    app.decorate('limitPredictions', async function limitPredictions(request: FastifyRequest) {
      await throttle.prediction(identityOf(request).userId)
    })
  },
  { name: 'rate-limit', dependencies: ['configuration', 'bus', 'auth'] }
)
