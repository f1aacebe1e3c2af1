import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { Id, Members, Type } from '../../../src/schema.ts'

const members = {
  chatflowId: Id,
  chatId: Type.String({ minLength: 1, maxLength: 512, description: "the client's name of the session" }),
  fileName: Type.String({ minLength: 1, maxLength: 255 })
}
const File = {
  200: {
    description: 'the file',
    content: { '*/*': { schema: Type.String({ contentMediaType: 'application/octet-stream' }) } }
  },
  ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 500, 502, 503)
}
const config = { access: 'user', scope: 'embed' } as const
const common = { tags: ['flowise'], security: [{ bearer: [] }] }

/** Files of a chat, for clients made for Flowise. */
export default (async function storedFileRoutes(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.get(
    '/get-upload-file',
    {
      config,
      schema: {
        ...common,
        operationId: 'files.stored',
        summary: 'A file that Flowise keeps for a chat of yours; images and sound may be shown in place',
        querystring: Members({ ...members, download: Type.Optional(Type.Boolean()) }),
        response: File
      }
    },
    async function getStoredFile(request, reply) {
      const { download: isDownload = false, ...file } = request.query
      return app.sendStoredFile(request, reply, { ...file, isDownload, open: app.flowise.storedFile })
    }
  )

  app.post(
    '/openai-assistants-file/download',
    {
      config,
      schema: {
        ...common,
        operationId: 'files.assistant',
        summary: 'A file that an assistant of OpenAI made in a chat of yours',
        body: Members(members),
        response: File
      }
    },
    async function downloadAssistantFile(request, reply) {
      const wanted = { ...request.body, isDownload: true, open: app.flowise.assistantFile }
      return app.sendStoredFile(request, reply, wanted)
    }
  )
} satisfies FastifyPluginAsyncTypebox)
