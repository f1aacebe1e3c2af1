import fastifyCors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { embedTokenOf } from '../src/auth/embed-path.ts'
import { isListed } from '../src/auth/origins.ts'

/** What clients made for OpenAI tell of themselves; a browser does not send the request unless all are allowed. */
const OPENAI_HEADERS = [
  'Arch',
  'Helper-Method',
  'Lang',
  'OS',
  'Package-Version',
  'Retry-Count',
  'Runtime',
  'Runtime-Version',
  'Timeout'
].map((name) => `X-Stainless-${name}`)

const shared: FastifyCorsOptions = {
  methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
  allowedHeaders: [
    'Authorization',
    'Content-Type',
    'Idempotency-Key',
    'X-Request-Id',
    'Last-Event-ID',
    'X-API-Key',
    'X-Session-Id',
    'X-Gateway-Receipt',
    ...OPENAI_HEADERS
  ],
  exposedHeaders: [
    'X-Request-Id',
    'X-Gateway-Code',
    'Retry-After',
    'X-Should-Retry',
    'Link',
    'Idempotency-Replayed',
    'Content-Disposition',
    'Content-Location'
  ],
  maxAge: 600
}

/**
 * Browsers of the configured origins may call; any other origin gets no allow header at all. Below an embed token its own
 * origins count instead, also when it has expired: the page is to show why nothing works any more.
 */
export default fp(
  async function cors(app: FastifyInstance) {
    const origins = new Set(app.config.corsOrigins.map((origin) => origin.toLowerCase()))
    const isOpen = origins.has('*')
    /** What is answered to whoever is no page: nearly everybody. */
    const unasked: FastifyCorsOptions = { ...shared, origin: false, credentials: true, preflight: false }
    await app.register(fastifyCors, {
      delegator(request, done) {
        const { origin } = request.headers
        const token = embedTokenOf(request.raw)
        if (token !== undefined) {
          const claims = app.embedTokens.read(token)
          // One that was never made here is refused to every page alike, and every page may say so.
          const isAllowed = origin !== undefined && (claims === undefined || isListed(claims.origins, origin))
          done(null, { ...shared, origin: isAllowed && origin, credentials: false, preflight: isPreflight(request) })
          return
        }
        if (origin === undefined && !isOpen) return done(null, unasked)
        const isKnown = isOpen || (origin !== undefined && origins.has(origin.toLowerCase()))
        done(null, {
          ...shared,
          origin: isKnown && (isOpen ? '*' : (origin ?? false)),
          // No cookie is ever read, so this gives nothing away; a client that sends `credentials: include` needs it.
          credentials: !isOpen,
          // The plugin's own refusal of an incomplete preflight is plain text; so it is an unknown route instead.
          preflight: isPreflight(request)
        })
      }
    })
  },
  { name: 'cors', dependencies: ['configuration', 'problem', 'embed-tokens'] }
)

function isPreflight({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}
