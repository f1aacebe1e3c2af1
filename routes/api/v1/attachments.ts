import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { chatOwnerOf, identityOf } from '../../../src/auth/identity.ts'
import { invalid } from '../../../src/errors.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { nextUpstreamIds } from '../../../src/flowise/upstream-ids.ts'
import { signalOfLeaving } from '../../../src/leaving.ts'
import { readForm } from '../../../src/multipart.ts'
import { Id, Members, Type } from '../../../src/schema.ts'

const Form = Members({
  files: Type.Array(Type.String({ contentMediaType: 'application/octet-stream' }), { description: 'the documents' }),
  base64: Type.Optional(Type.String({ maxLength: 5, description: 'true: their bytes instead of their text' })),
  chatId: Type.Optional(Type.String({ maxLength: 512 }))
})

const Attached = Type.Array(
  Members({
    name: Type.String({ description: 'as it was sent' }),
    mimeType: Type.String(),
    size: Type.Integer({ description: 'bytes' }),
    content: Type.String({ description: 'what to send with the question, as an upload of the type file:full' })
  })
)

/** Documents whose text a client made for Flowise wants, to send it along with the next question. */
export default (async function attachmentRoutes(app) {
  const { bodyBytes: bodyLimit, uploads: maxFiles } = app.config.limits
  app.setErrorHandler(app.sendFlowiseError)

  app.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      const { fields, files } = await readForm(request.headers['content-type'], bytes, { maxFiles })
      if (files.length === 0) throw invalid(['body', 'files'], 'is required: one part for each document')
      request.fileParts = files.map((file) => ({ name: file.name, claims: [file.mime], bytes: file.bytes }))
      const known = fields.filter(([name]) => name === 'base64' || name === 'chatId')
      return { ...Object.fromEntries(known), files: files.map(({ name }) => name) }
    }
  )

  app.post(
    '/attachments/:chatflow_id/:chat_id',
    {
      config: { access: 'user', scope: 'embed' },
      onRequest: [app.refuseWhileDraining, app.limitPredictions],
      bodyLimit,
      schema: {
        operationId: 'attachments.create',
        summary: 'The text of documents, where the chatflow takes them; nothing is asked and nothing charged yet',
        tags: ['flowise'],
        security: [{ bearer: [] }],
        consumes: ['multipart/form-data'],
        params: Type.Object({ chatflow_id: Id, chat_id: Type.String({ minLength: 1, maxLength: 512 }) }),
        body: Form,
        response: { 200: Attached, ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 500, 502, 503) }
      }
    },
    async function attach(request, reply) {
      const { chatflow_id: chatflowId, chat_id: chatId } = request.params
      const owner = chatOwnerOf(identityOf(request))
      await app.grantFor(request, chatflowId)
      const sent = request.fileParts ?? []
      const documents = await app.checkDocuments(owner.userId, chatflowId, sent)
      const place = { userId: owner.userId, chatflowId, sessionId: await app.sessionOfChat(owner, chatflowId, chatId) }
      const upstream = await app.history.prepare(place, nextUpstreamIds(null, app.ids.uuid), app.clock.now())
      const chat = { chatflowId, chatId: upstream.chatId, isBase64: request.body.base64 === 'true' }
      const attached = await app.flowise.attach(chat, documents, signalOfLeaving(reply.raw))
      // Clients find their files by the names that they gave them.
      const isWhole = attached.length === sent.length
      return attached.map((file, index) => ({ ...file, name: isWhole ? (sent[index]?.name ?? file.name) : file.name }))
    }
  )
} satisfies FastifyPluginAsyncTypebox)
