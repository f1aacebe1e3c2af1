import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const headers = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  // What a listed origin may read is decided by CORS; this must not forbid it again.
  'cross-origin-resource-policy': 'cross-origin',
  'cache-control': 'no-store'
}

/** Headers that every reply has; a route that knows better sets its own. */
export function defaultHeaders(isSecure: boolean): Record<string, string> {
  // Without includeSubDomains: what else has a name below this one is not the gateway's to decide.
  return isSecure ? { ...headers, 'strict-transport-security': 'max-age=31536000' } : headers
}

/** No reply is sniffed, framed, cached or traced, unless its route says otherwise. */
export default fp(
  async function securityHeaders(app: FastifyInstance) {
    const standing = defaultHeaders(app.parts.tls !== undefined)
    app.addHook('onRequest', function setDefaults(_request, reply, done) {
      // Set first, so that early refusals have them too, and any later header() replaces them.
      reply.headers(standing)
      done()
    })
  },
  { name: 'security-headers', dependencies: ['configuration'] }
)
