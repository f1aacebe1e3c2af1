import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { chatOwnerOf, identityOf } from '../../../../src/auth/identity.ts'
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

/** Flowise's own path, for clients made for it. */
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
  app.post(
    '/:chatflow_id',
    {
      config: { access: 'prediction', scope: 'embed' },
      bodyLimit: bodyBytes,
      schema,
      preHandler: async (request) => {
        const { chatflow_id: chatflowId } = request.params
        const owner = chatOwnerOf(identityOf(request))
        const parts = request.fileParts ?? undefined
        const body: FlowiseBody = request.body ?? {}
        request.prediction = readFlowiseRequest(body, { chatflowId, owner, parts, maxFiles })
        // What is in them has been read; the body stays for as long as the answer takes.
        body.uploads = null
      }
    },
    (request, reply) => app.answerFlowise(request, reply)
  )
}

export default routes
