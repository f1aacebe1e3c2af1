import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AppError, catalogue, type ErrorCode } from '../src/errors.ts'
import { failureBody } from '../src/flowise/failure-form.ts'
import { sentenceFor } from '../src/flowise/sentences.ts'
import { openAiError } from '../src/openai/errors.ts'
import { completeDocument, type ErrorForm, type ErrorText } from '../src/openapi/document.ts'
import { version } from '../src/version.ts'
import { problemBody, statusOf } from './problem.ts'

const REQUEST_ID = '0b9e7a54-8c1d-4f36-9d2b-7e5a3c6f1048'
const errorCodes = Object.keys(catalogue) as ErrorCode[]

const tags = [
  { name: 'authentication', description: 'Log in, refresh and revoke tokens; API keys, and tokens for web pages' },
  { name: 'chatflows', description: 'What the caller may talk to' },
  { name: 'predictions', description: 'Ask a chatflow, as JSON or as a stream' },
  { name: 'sessions', description: "The caller's conversations" },
  { name: 'files', description: "The caller's files" },
  { name: 'openai', description: 'The same for clients made for OpenAI, in its forms' },
  { name: 'flowise', description: 'What clients made for Flowise need besides predictions, in its forms' },
  { name: 'credits', description: "The caller's balance and its history" },
  { name: 'admin', description: 'Users, grants, credits, catalogue and audit; role admin' },
  { name: 'service', description: 'Health, readiness, metrics, this document' }
]

/** Only our own files; the page styles itself inline. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const passedHeaders = ['content-type', 'content-security-policy', 'cache-control', 'etag', 'last-modified', 'location']

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
            'the access token as a bearer; programs send an API key, as a bearer or as X-API-Key. Errors are RFC 9457 problems; their codes are part of the contract.'
        },
        tags,
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
            apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' }
          }
        }
      },
      transform: ({ schema, url, route }) => ({ schema: withKeys(schema, route.config?.scope !== undefined), url }),
      refResolver: { buildLocalReference: ({ $id }) => (typeof $id === 'string' ? $id : 'Unnamed') },
      transformObject(document) {
        if (!('openapiObject' in document)) return {}
        completeDocument({ ...document.openapiObject.paths }, errorTextOf)
        return document.openapiObject
      }
    })
    let page: Promise<FastifyInstance> | undefined
    async function showPage(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
      page ??= openPage(app.swagger)
      const { statusCode, headers, rawPayload } = await (await page).inject({
        url: request.url,
        headers: { 'if-none-match': request.headers['if-none-match'] ?? '' }
      })
      if (statusCode === 404) return reply.callNotFound()
      for (const name of passedHeaders) if (headers[name] !== undefined) reply.header(name, headers[name])
      return reply.code(statusCode).send(statusCode === 304 ? undefined : rawPayload)
    }
    for (const url of ['/docs', '/docs/*'])
      app.get(url, { config: { access: 'public' }, schema: { hide: true } }, showPage)
  },
  { name: 'openapi', dependencies: ['problem'] }
)

/** An application of its own, made for its first reader: most gateways never have one, and its packages take 5 MB. */
async function openPage(document: FastifyInstance['swagger']): Promise<FastifyInstance> {
  const { default: swaggerUi } = await import('@fastify/swagger-ui')
  const page = fastify()
  const ready = fp(async (app: FastifyInstance) => void app.decorate('swagger', document), { name: '@fastify/swagger' })
  await page.register(ready)
  await page.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: pagePolicy,
    uiConfig: { deepLinking: true, docExpansion: 'list', persistAuthorization: false }
  })
  return page
}

/** What a scope opens, an API key opens too. */
function withKeys<S extends { security?: unknown; hide?: boolean }>(schema: S, isOpen: boolean): S {
  return isOpen && schema?.security ? { ...schema, security: [{ bearer: [] }, { apiKey: [] }] } : schema
}

const things: Record<string, ErrorCode> = {
  session_id: 'session_not_found',
  chatflow_id: 'chatflow_not_found',
  model: 'chatflow_not_found',
  file_id: 'file_not_found',
  key_id: 'key_not_found',
  id: 'user_not_found'
}

/** The codes of a status, and a reply with the one that this path is most likely to give. */
function errorTextOf(status: number, form: ErrorForm): ErrorText {
  const codes = errorCodes.filter((code) => statusIn(form, code) === status)
  return {
    description: codes.join(', '),
    example(path) {
      const thing = Object.keys(things).find((name) => path.includes(`{${name}}`))
      const code = (status === 404 && thing ? things[thing] : codes[0]) ?? 'internal_error'
      if (form === 'OpenAiError') return openAiError(new AppError(code), catalogue[code][1])
      if (form === 'FlowiseError')
        return failureBody(new AppError(code), { status, sentence: sentenceFor(code), requestId: REQUEST_ID })
      const errors = status === 422 ? [{ loc: ['body', 'member'], msg: 'is required' }] : undefined
      return problemBody(new AppError(code, errors ? { errors } : {}), REQUEST_ID, path)
    }
  }
}

/** OpenAI has no 422. */
function statusIn(form: ErrorForm, code: ErrorCode): number {
  const status = statusOf(code)
  return form === 'OpenAiError' && status === 422 ? 400 : status
}
