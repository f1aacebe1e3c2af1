import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { flowiseErrors } from '../../../../src/flowise/failure-form.ts'
import { receiptView } from '../../../../src/flowise/result.ts'
import { readUpsertForm } from '../../../../src/flowise/upsert-request.ts'
import { readForm } from '../../../../src/multipart.ts'
import { Credits, Id, Members, Nullable, Type } from '../../../../src/schema.ts'

const Body = Nullable(
  Members(
    {
      overrideConfig: Type.Optional(
        Nullable(Type.Object({}, { additionalProperties: true, description: 'keys the chatflow allows pass' }))
      ),
      stopNodeId: Type.Optional(Nullable(Type.String({ maxLength: 128, description: 'the vector store to fill' }))),
      chatId: Type.Optional(
        Nullable(Type.String({ maxLength: 512, description: 'the chat that the documents are for' }))
      )
    },
    { examples: [{ stopNodeId: 'pinecone_0' }] }
  )
)

const count = Type.Optional(Type.Integer())
const Reply = Members({
  numAdded: count,
  numDeleted: count,
  numUpdated: count,
  numSkipped: count,
  result: Type.Optional(Type.String()),
  credits_charged: Credits,
  credits_remaining: Type.Optional(Credits)
})

/** Documents for the vector store of a chatflow that takes them. */
export default (async function upsertRoutes(app) {
  const { bodyBytes: bodyLimit, uploads: maxFiles } = app.config.limits
  app.setErrorHandler(app.sendFlowiseError)

  app.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      const { body, files } = readUpsertForm(await readForm(request.headers['content-type'], bytes, { maxFiles }))
      request.fileParts = files
      return body
    }
  )

  app.post(
    '/upsert/:chatflow_id',
    {
      config: { access: 'upsert', scope: 'chat' },
      bodyLimit,
      schema: {
        operationId: 'vector.upsert',
        summary: 'Fill the vector store of a chatflow, where that has an `upsert_price`; charged when it has succeeded',
        tags: ['flowise'],
        security: [{ bearer: [] }],
        consumes: ['application/json', 'multipart/form-data'],
        params: Type.Object({ chatflow_id: Id }),
        body: Body,
        response: { 200: Reply, ...flowiseErrors(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503) }
      }
    },
    async function upsert(request) {
      const { indexed, ...amounts } = await app.runUpsert(request)
      return { ...indexed, ...receiptView(amounts) }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
