import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { chatOwnerOf, identityOf } from '../../../../src/auth/identity.ts'
import { sessionOfChat } from '../../../../src/flowise/request.ts'
import { Id, Message, responses, Type } from '../../../../src/schema.ts'

/** Flowise's own way to stop a prediction, for clients made for Flowise; like Flowise's it always answers 200. */
const routes: FastifyPluginAsyncTypebox = async function abort(app) {
  app.put(
    '/abort/:chatflow_id/:chat_id',
    {
      config: { access: 'user', scope: 'embed' },
      schema: {
        operationId: 'predictions.abort',
        summary: "Flowise's own path to stop the caller's prediction in a chat",
        tags: ['predictions'],
        security: [{ bearer: [] }],
        params: Type.Object({ chatflow_id: Id, chat_id: Type.String({ minLength: 1, maxLength: 512 }) }),
        response: responses(Type.Object({ status: Type.Literal(200), message: Message }), 401, 404, 503)
      }
    },
    async (request) => {
      const { chatflow_id, chat_id } = request.params
      const owner = chatOwnerOf(identityOf(request))
      await app.stopRun(owner.userId, sessionOfChat(owner, chatflow_id, chat_id))
      return { status: 200 as const, message: 'Chat message aborted' }
    }
  )
}

export default routes
