import fastifyCors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

const shared: FastifyCorsOptions = {
  methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
  allowedHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'X-Request-Id', 'Last-Event-ID', 'X-API-Key'],
  exposedHeaders: ['X-Request-Id', 'Retry-After', 'Link', 'Idempotency-Replayed', 'Content-Disposition'],
  maxAge: 600
}

/** Browsers of the configured origins may call; any other origin gets no allow header at all. */
export default fp(
  async function cors(app: FastifyInstance) {
    const origins = new Set(app.config.corsOrigins.map((origin) => origin.toLowerCase()))
    const isOpen = origins.has('*')
    await app.register(fastifyCors, {
      delegator(request, done) {
        const origin = request.headers.origin
        const isListed = isOpen || (origin !== undefined && origins.has(origin.toLowerCase()))
        done(null, {
          ...shared,
          origin: isListed && (isOpen ? '*' : (origin ?? false)),
          // No cookie is ever read, so this gives nothing away; a client that sends `credentials: include` needs it.
          credentials: !isOpen,
          // The plugin's own refusal of an incomplete preflight is plain text; so it is an unknown route instead.
          preflight: isPreflight(request)
        })
      }
    })
  },
  { name: 'cors', dependencies: ['configuration', 'problem'] }
)

function isPreflight({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}
