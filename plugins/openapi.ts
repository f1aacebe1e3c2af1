import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { version } from '../src/version.ts'

const tags = [
  { name: 'authentication', description: 'Log in, refresh and revoke tokens' },
  { name: 'chatflows', description: 'What the caller may talk to' },
  { name: 'predictions', description: 'Ask a chatflow, as JSON or as a stream' },
  { name: 'sessions', description: "The caller's conversations" },
  { name: 'credits', description: "The caller's balance and its history" },
  { name: 'admin', description: 'Users, grants, credits, catalogue and audit; role admin' },
  { name: 'service', description: 'Health, readiness, metrics, this document' }
]

/** Only our own files; the page styles itself inline. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** The OpenAPI document, made from the schemas of the routes, and a page that shows it. */
export default fp(
  async function openapi(app: FastifyInstance) {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Flowise gateway',
          version,
          description:
            'Logins, permissions, credits and history in front of Flowise. Log in at /api/v1/chat/authenticate and send ' +
            'the access token as a bearer. Errors are RFC 9457 problems; their codes are part of the contract.'
        },
        tags,
        components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } }
      },
      refResolver: { buildLocalReference: ({ $id }) => (typeof $id === 'string' ? $id : 'Unnamed') },
      transformObject: (document) => ('openapiObject' in document ? asProblems(document.openapiObject) : {})
    })
    await app.register(async function docsPage(page) {
      page.addHook('onRoute', function openPage(route) {
        route.config = { ...route.config, access: 'public' }
      })
      await page.register(swaggerUi, {
        routePrefix: '/docs',
        staticCSP: pagePolicy,
        uiConfig: { deepLinking: true, docExpansion: 'list', persistAuthorization: false }
      })
    })
  },
  { name: 'openapi', dependencies: ['problem'] }
)

type Content = Record<string, { schema?: { $ref?: string } }>
type Operation = { responses?: Record<string, { content?: Content }> }

/** Error replies are problems: Fastify's schemas have no place for a content type per status. */
function asProblems<D extends { paths?: object }>(document: D): D {
  for (const operations of Object.values<Record<string, Operation>>({ ...document.paths }))
    for (const operation of Object.values(operations))
      for (const response of Object.values(operation.responses ?? {})) {
        const content = response.content?.['application/json']
        if (content?.schema?.$ref?.endsWith('/Problem')) response.content = { 'application/problem+json': content }
      }
  return document
}
