import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Headers that every reply has; a route that knows better sets its own. */
export const defaultHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  // What a listed origin may read is decided by CORS; this must not forbid it again.
  'cross-origin-resource-policy': 'cross-origin',
  'cache-control': 'no-store'
}

/** No reply is sniffed, framed, cached or traced, unless its route says otherwise. */
export default fp(
  async function securityHeaders(app: FastifyInstance) {
    app.addHook('onRequest', function setDefaults(_request, reply, done) {
      // Set first, so that early refusals have them too, and any later header() replaces them.
      reply.headers(defaultHeaders)
      done()
    })
  },
  { name: 'security-headers' }
)
