import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { chatOwnerOf, identityOf } from '../../../../src/auth/identity.ts'
import { flowiseErrors } from '../../../../src/flowise/failure-form.ts'
import { Id, Message, Type } from '../../../../src/schema.ts'

const ChatId = Type.String({ minLength: 1, maxLength: 512 })

/** Flowise's own way to stop a prediction, for clients made for Flowise; like Flowise's it always answers 200. */
const routes: FastifyPluginAsyncTypebox = async function abort(app) {
  const config = { access: 'user', scope: 'embed' } as const
  const schema = {
    operationId: 'predictions.abort',
    summary: "Flowise's own path to stop the caller's prediction in a chat",
    tags: ['predictions'],
    security: [{ bearer: [] }],
    params: Type.Object({ chatflow_id: Id, chat_id: ChatId }),
    response: {
      200: Type.Object({ status: Type.Literal(200), message: Message }),
      ...flowiseErrors(401, 403, 404, 429, 503)
    }
  }
  app.setErrorHandler(app.sendFlowiseError)

  async function stop(request: FastifyRequest, chatflowId: string, chatId: string) {
    const identity = identityOf(request)
    await app.stopRun(identity, await app.sessionOfChat(chatOwnerOf(identity), chatflowId, chatId))
    return { status: 200 as const, message: 'Chat message aborted' }
  }

  app.put('/abort/:chatflow_id/:chat_id', { config, schema }, (request) =>
    stop(request, request.params.chatflow_id, request.params.chat_id)
  )

  // The widget writes the id into the address as it is, and the customer's part of it may have slashes.
  app.put(
    '/abort/:chatflow_id/*',
    { config, schema: { hide: true, params: Type.Object({ chatflow_id: Id, '*': ChatId }) } },
    (request) => stop(request, request.params.chatflow_id, request.params['*'])
  )
}

export default routes
