import { timingSafeEqual } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AppError } from '../src/errors.ts'
import { sha256Hex } from '../src/ids.ts'
import { Members, problems, responses, Type } from '../src/schema.ts'
import { version } from '../src/version.ts'

const NAME = 'flowise-proxy-service'
const Check = Type.Union([Type.Literal('ok'), Type.Literal('down')])
const Service = Type.String({ examples: [NAME] })
const Version = Type.String({ examples: ['1.0.0'] })
const Readiness = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('not_ready')]),
  checks: Type.Object({
    store: Check,
    flowise: Check,
    redis: Type.Optional(Check),
    auth: Type.Optional(Check),
    accounting: Type.Optional(Check)
  })
})

/** What load balancers, monitoring and curious people ask; nothing here is secret. */
export default (async function service(app) {
  const config = { access: 'public' } as const
  const tags = ['service']

  app.get(
    '/',
    {
      config,
      schema: {
        operationId: 'service.root',
        summary: 'What runs here',
        tags,
        response: responses(Type.Object({ message: Type.String(), version: Version, status: Type.Literal('running') }))
      }
    },
    async () => ({ message: 'Flowise Proxy Service', version, status: 'running' as const })
  )

  app.get(
    '/health',
    {
      config,
      schema: {
        operationId: 'service.health',
        summary: 'Liveness: the process answers',
        tags,
        response: responses(Type.Object({ status: Type.Literal('healthy'), service: Service, version: Version }))
      }
    },
    async () => ({ status: 'healthy' as const, service: NAME, version })
  )

  app.get(
    '/ready',
    {
      config,
      schema: {
        operationId: 'service.ready',
        summary: 'Readiness: the store, Flowise and a configured Redis answer, and no shutdown has begun',
        tags,
        response: { 200: Readiness, 503: Readiness }
      }
    },
    async (_request, reply) => {
      const { isReady, checks } = await app.readiness()
      if (!isReady) reply.code(503).header('retry-after', '5')
      return { status: isReady ? ('ready' as const) : ('not_ready' as const), checks }
    }
  )

  app.get(
    '/info',
    {
      config,
      schema: {
        operationId: 'service.info',
        summary: 'Modes, limits and addresses of this installation',
        tags,
        response: responses(Info)
      }
    },
    async () => ({
      service: NAME,
      version,
      auth_mode: app.config.auth.mode,
      accounting_mode: app.accounting ? 'external' : 'internal',
      store: app.store.kind,
      upstream: app.parts.isDemo ? ('demo' as const) : ('flowise' as const),
      limits: {
        body_bytes: app.config.limits.bodyBytes,
        file_bytes: app.config.limits.fileBytes,
        uploads: app.config.limits.uploads,
        predictions_per_minute: app.config.limits.predictionsPerMinute,
        concurrent_predictions: app.config.limits.concurrentPerUser
      },
      endpoints: {
        authentication: '/api/v1/chat/authenticate',
        chatflows: '/api/v1/chatflows',
        prediction: '/api/v1/chat/predict',
        credits: '/api/v1/chat/credits'
      }
    })
  )

  app.get(
    '/openapi.json',
    {
      config,
      schema: {
        operationId: 'service.openapi',
        summary: 'This document',
        tags,
        response: responses(Type.Any({ description: 'OpenAPI 3.1' }))
      }
    },
    async () => app.swagger()
  )

  app.get(
    '/metrics',
    {
      config,
      schema: {
        operationId: 'service.metrics',
        summary: 'Prometheus metrics; with METRICS_TOKEN set, for that bearer only',
        tags,
        response: {
          200: { description: 'Prometheus text format', content: { 'text/plain': { schema: Type.String() } } },
          ...problems(401)
        }
      }
    },
    async (request, reply) => {
      requireMetricsToken(app.config.metricsToken, request.headers.authorization)
      reply.type(app.metrics.registry.contentType)
      return app.metrics.registry.metrics()
    }
  )
} satisfies FastifyPluginAsyncTypebox)

const Info = Members({
  service: Service,
  version: Version,
  auth_mode: Type.String({ description: 'local or external', examples: ['local'] }),
  accounting_mode: Type.String({ description: 'internal or external', examples: ['internal'] }),
  store: Type.String({ description: 'sqlite or mongodb', examples: ['sqlite'] }),
  upstream: Type.Union([Type.Literal('flowise'), Type.Literal('demo')], {
    description: '`demo`: a built-in stand-in answers, not Flowise'
  }),
  limits: Type.Object({
    body_bytes: Type.Integer(),
    file_bytes: Type.Integer(),
    uploads: Type.Integer(),
    predictions_per_minute: Type.Integer({ description: '0: no limit' }),
    concurrent_predictions: Type.Integer()
  }),
  endpoints: Type.Object({
    authentication: Type.String({ examples: ['/api/v1/chat/authenticate'] }),
    chatflows: Type.String({ examples: ['/api/v1/chatflows'] }),
    prediction: Type.String({ examples: ['/api/v1/chat/predict'] }),
    credits: Type.String({ examples: ['/api/v1/chat/credits'] })
  })
})

function requireMetricsToken(token: string | undefined, authorization: string | undefined): void {
  if (token === undefined) return
  if (authorization === undefined)
    throw new AppError('not_authenticated', { detail: 'The metrics need their own bearer token.' })
  const given = /^bearer +(\S+)$/i.exec(authorization)?.[1] ?? ''
  // Hashed first: both sides then have the same length, and nothing of the token can be timed.
  if (!timingSafeEqual(Buffer.from(sha256Hex(given)), Buffer.from(sha256Hex(token))))
    throw new AppError('invalid_token', { detail: 'This is not the metrics token.' })
}
