import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { readGatewayRequest } from '../../../../src/flowise/request.ts'
import { UploadBody } from '../../../../src/flowise/uploads.ts'
import { Credits, Id, Members, Nullable, problems, Type } from '../../../../src/schema.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))

const example = {
  chatflow_id: '0ec4a1f0-5b1e-4d58-9a57-3f0c8d1e2a01',
  question: 'What is in the report?',
  sessionId: 'report-1'
}
const Body = Members(
  {
    chatflow_id: Id,
    question: optional(Type.String({ maxLength: 100_000, examples: ['What is in the report?'] })),
    message: optional(Type.String({ maxLength: 100_000, description: 'alias of question' })),
    sessionId: optional(Type.String({ maxLength: 128, description: 'continues a session; absent: a new one' })),
    session_id: optional(Type.String({ maxLength: 128, description: 'alias of sessionId' })),
    overrideConfig: optional(
      Type.Object({}, { additionalProperties: true, description: 'keys the chatflow allows pass' })
    ),
    history: optional(
      Type.Array(Members({ role: Type.String({ maxLength: 32 }), content: Type.String({ maxLength: 200_000 }) }), {
        maxItems: 100
      })
    ),
    uploads: optional(Type.Array(UploadBody, { maxItems: 100, description: 'files that come with the question' })),
    file_ids: optional(Type.Array(Id, { maxItems: 100, description: 'files that were uploaded before' })),
    streaming: optional(Type.Boolean({ description: 'absent: decided by Accept' }))
  },
  { examples: [example] }
)

const Reply = Type.Object({
  response: Type.String({ description: 'the plain answer text' }),
  result: Type.Object(
    {},
    { additionalProperties: true, description: "Flowise's answer, reduced to what the chatflow allows" }
  ),
  session_id: Type.String(),
  chatflow_id: Type.String(),
  credits_charged: Credits,
  credits_remaining: Type.Optional(Credits),
  message_id: Type.String()
})

const Stream = Type.String({
  description: 'server-sent events: session_id, the events of Flowise, metadata or error, end'
})
const errors = problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503)

/** Predictions in the gateway's own form, in one piece or as a stream. */
const routes: FastifyPluginAsyncTypebox = async function predict(app) {
  const { bodyBytes: bodyLimit, uploads: maxFiles } = app.config.limits
  const config = { access: 'prediction', scope: 'chat', isResumable: true } as const
  const common = { tags: ['predictions'], security: [{ bearer: [] }], body: Body }

  app.post(
    '/predict',
    {
      config,
      bodyLimit,
      // The reply is made member by member: nothing is left that a schema would take out of it.
      serializerCompiler: () => JSON.stringify,
      preHandler: async (request) => {
        const wantsStream = request.body.streaming ?? asksForStream(request.headers)
        request.prediction = readGatewayRequest(request.body, { wantsStream, maxFiles })
        request.body.uploads = null
      },
      schema: {
        ...common,
        operationId: 'predictions.create',
        summary: 'Ask a chatflow; one JSON reply, or a stream with streaming:true or Accept: text/event-stream',
        response: {
          200: {
            description: 'the answer',
            content: { 'application/json': { schema: Reply }, 'text/event-stream': { schema: Stream } }
          },
          ...errors
        }
      }
    },
    (request, reply) => (request.prediction?.wantsStream ? app.answerStream(request, reply) : app.answerJson(request))
  )

  app.post(
    '/predict/stream',
    {
      config,
      bodyLimit,
      preHandler: async (request) => {
        request.prediction = readGatewayRequest(request.body, { wantsStream: true, maxFiles })
        request.body.uploads = null
      },
      schema: {
        ...common,
        operationId: 'predictions.stream',
        summary: 'Ask a chatflow; always a stream',
        response: {
          200: { description: 'the stream', content: { 'text/event-stream': { schema: Stream } } },
          ...errors
        }
      }
    },
    (request, reply) => app.answerStream(request, reply)
  )
}

export default routes

function asksForStream({ accept }: { accept?: string | undefined }): boolean {
  return accept?.toLowerCase().includes('text/event-stream') ?? false
}
