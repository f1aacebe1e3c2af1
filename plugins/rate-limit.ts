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

/** How often: predictions of a user, failed logins. */
export default fp(
  async function rateLimit(app: FastifyInstance) {
    const { limits, loginFailureLimit } = app.config
    const { predictionsPerMinute } = limits
    const throttle = createThrottle(app.bus, { predictionsPerMinute, loginFailures: loginFailureLimit })
    app.decorate('throttle', throttle)
    app.decorate('limitPredictions', async function limitPredictions(request: FastifyRequest) {
      await throttle.prediction(identityOf(request).userId)
    })
  },
  { name: 'rate-limit', dependencies: ['configuration', 'bus', 'auth'] }
)
