import { callbackify } from 'node:util'
import proxy from '@fastify/http-proxy'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import { chatOwnerOf, identityOf } from '../../../../src/auth/identity.ts'
import { AppError } from '../../../../src/errors.ts'
import { flowiseErrors } from '../../../../src/flowise/failure-form.ts'
import { readFlowiseForm } from '../../../../src/flowise/multipart.ts'
import { type FlowiseBody, readFlowiseRequest } from '../../../../src/flowise/request.ts'
import { FlowiseUploadBody } from '../../../../src/flowise/uploads.ts'
import { readForm } from '../../../../src/multipart.ts'
import { Id, Members, Nullable, Type } from '../../../../src/schema.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))
const Anything = Type.Object({}, { additionalProperties: true })

const Body = Members(
  {
    question: optional(Type.String({ maxLength: 100_000 })),
    form: optional(Anything),
    chatId: optional(Type.String({ maxLength: 512, description: "the client's name of the session" })),
    sessionId: optional(Type.String({ maxLength: 512 })),
    overrideConfig: optional(Anything),
    history: optional(
      Type.Array(Members({ role: Type.String({ maxLength: 32 }), content: Type.String({ maxLength: 200_000 }) }), {
        maxItems: 100
      })
    ),
    uploads: optional(Type.Array(FlowiseUploadBody, { maxItems: 100 })),
    humanInput: optional(Anything),
    action: optional(Anything),
    leadEmail: optional(Type.String({ maxLength: 254 })),
    streaming: Type.Optional(
      Type.Unknown({ description: 'true or "true" streams; as at Flowise anything else does not' })
    )
  },
  { examples: [{ question: 'What is in the report?', chatId: 'report-1', streaming: false }] }
)

const schema = {
  operationId: 'predictions.flowise',
  summary: "Flowise's own prediction path: its request, its JSON, its stream",
  tags: ['predictions'],
  security: [{ bearer: [] }],
  params: Type.Object({ chatflow_id: Id }),
  consumes: ['application/json', 'multipart/form-data'],
  body: Body,
  response: {
    200: {
      description:
        "Flowise's answer, reduced to what the chatflow allows; a failure before a stream is a stream of `error` and `end`",
      content: { 'application/json': { schema: Anything }, 'text/event-stream': { schema: Type.String() } }
    },
    ...flowiseErrors(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503)
  }
}

/** Carries the Fastify request through the proxy to its transport, beside the headers that go nowhere. */
const kRequest = Symbol('request')

/** Flowise's own path through the proxy plugin; its transport is the gateway's one way to Flowise. */
const routes: FastifyPluginAsyncTypebox = async function prediction(app) {
  const { bodyBytes, uploads: maxFiles } = app.config.limits
  app.setErrorHandler(app.sendFlowiseError)
  app.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      const { body, files } = readFlowiseForm(await readForm(request.headers['content-type'], bytes, { maxFiles }))
      request.fileParts = files
      return body
    }
  )
  app.addHook('onRoute', (route: RouteOptions) => {
    route.schema = schema
    route.bodyLimit = bodyBytes
  })
  await app.register(proxy, {
    upstream: app.parts.flowiseUrl,
    prefix: '/',
    rewritePrefix: '/api/v1/prediction/',
    routes: ['/:chatflow_id'],
    httpMethods: ['POST'],
    proxyPayloads: false,
    disableRequestLogging: true,
    config: { access: 'prediction', scope: 'embed' },
    preHandler: (request, _reply, done) => {
      const { chatflow_id: chatflowId } = request.params as { chatflow_id: string }
      const owner = chatOwnerOf(identityOf(request))
      const parts = request.fileParts ?? undefined
      const body = (request.body ?? {}) as FlowiseBody
      request.prediction = readFlowiseRequest(body, { chatflowId, owner, parts, maxFiles })
      // What is in them has been read; the body stays for as long as the answer takes.
      body.uploads = null
      done()
    },
    undici: createTransport(app) as never,
    replyOptions: {
      // The transport builds body and headers itself; nothing of the client's is copied.
      body: null,
      rewriteRequestHeaders: (request, _headers) => ({ [kRequest]: request }) as never,
      rewriteHeaders: (headers) => headers,
      onError: (reply, { error }) => void reply.send(error.cause ?? error)
    }
  })
}

export default routes

type Callback = (error: Error | null, reply?: unknown) => void

/** What the proxy plugin takes for an HTTP client: it runs the prediction instead of forwarding bytes. */
function createTransport({ proxyPrediction }: FastifyInstance) {
  const run = callbackify(proxyPrediction)
  return {
    request({ headers }: { headers: Record<symbol, FastifyRequest> }, callback: Callback): void {
      const request = headers[kRequest]
      if (request) run(request, callback)
      else callback(new AppError('internal_error'))
    }
  }
}
