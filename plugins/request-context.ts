import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/
/** Log, limits, credits and streams each watch the end of a reply: more than Node takes for a leak by itself. */
const MAX_LISTENERS = 20

/** The client's X-Request-Id when it is well-formed, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && CLIENT_ID.test(given) ? given : randomUUID()
}

/** Puts the request id on every response, also on those that answer before a route is found. */
export default fp(
  async function requestContext(app: FastifyInstance) {
    app.addHook('onRequest', function showRequestId(request, reply, done) {
      reply.header('x-request-id', request.id)
      reply.raw.setMaxListeners(MAX_LISTENERS)
      done()
    })
  },
  { name: 'request-context' }
)
