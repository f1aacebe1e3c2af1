import type { FastifyInstance, HookHandlerDoneFunction, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf } from '../src/auth/identity.ts'
import { createThrottle, type Throttle } from '../src/auth/throttle.ts'

declare module 'fastify' {
  interface FastifyInstance {
    throttle: Throttle
    /** onRequest hook behind authenticate: requests per API key and minute. */
    limitKey: onRequestHookHandler
    /** onRequest hook behind authenticate: predictions per user and minute, and per key for those of pages. */
    limitPredictions: onRequestHookHandler
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
    app.decorate('limitKey', function limitKey(request, _reply, done) {
      const { key } = identityOf(request)
      return after(key?.kind === 'api_key' ? throttle.key(key) : undefined, done)
    })
    app.decorate('limitPredictions', function limitPredictions(request, _reply, done) {
      const { userId, key } = identityOf(request)
      // What a page loads before anybody asks something must not use up what its visitors may ask.
      const ofKey = key?.kind === 'embed_token' ? throttle.key(key) : undefined
      return after(ofKey ? ofKey.then(() => throttle.prediction(userId)) : throttle.prediction(userId), done)
    })
  },
  { name: 'rate-limit', dependencies: ['configuration', 'bus', 'auth'] }
)

/** The end of a hook: a promise is waited for, and most requests need none. */
function after(counted: Promise<void> | undefined, done: HookHandlerDoneFunction): Promise<void> | void {
  if (counted) return counted
  done()
}
