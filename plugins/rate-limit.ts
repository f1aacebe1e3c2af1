import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf } from '../src/auth/identity.ts'
import { createThrottle, type Throttle } from '../src/auth/throttle.ts'

declare module 'fastify' {
  interface FastifyInstance {
    throttle: Throttle
    /** onRequest hook behind authenticate: requests per API key and minute. */
    limitKey: onRequestAsyncHookHandler
    /** onRequest hook behind authenticate: predictions per user and minute, and per key for those of pages. */
    limitPredictions: onRequestAsyncHookHandler
  }
}

/** An auth service takes 100 calls in the same time from all users together: one address gets no more than half. */
const SERVICE_SHARE = 50

/** How often: predictions of a user, requests of a key, failed logins. */
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
    app.decorate('limitKey', async function limitKey(request) {
      const { key } = identityOf(request)
      if (key?.kind === 'api_key') await throttle.key(key)
    })
    app.decorate('limitPredictions', async function limitPredictions(request) {
      const { userId, key } = identityOf(request)
      // What a page loads before anybody asks something must not use up what its visitors may ask.
      if (key?.kind === 'embed_token') await throttle.key(key)
      await throttle.prediction(userId)
    })
  },
  { name: 'rate-limit', dependencies: ['configuration', 'bus', 'auth'] }
)
