import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ChatflowParams } from '../../../src/chatflows/schemas.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { Type } from '../../../src/schema.ts'

/** Flowise's own way to ask whether a chatflow streams, for clients made for Flowise: they ask it without a token. */
const routes: FastifyPluginAsyncTypebox = async function chatflowsStreaming(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.get(
    '/chatflows-streaming/:chatflow_id',
    {
      config: { access: 'public', scope: 'embed' },
      schema: {
        operationId: 'chatflows.streaming',
        summary: "Flowise's own path: whether a chatflow streams; one that is not known does",
        tags: ['predictions'],
        params: ChatflowParams,
        response: { 200: Type.Object({ isStreaming: Type.Boolean() }), ...flowiseErrors(500) }
      }
    },
    async (request) => {
      const known = await app.chatflows.get(request.params.chatflow_id)
      // Only what the catalogue knows is asked of Flowise. A refusal must not look like an answer: in doubt it streams.
      const said =
        known?.status === 'active' ? await app.flowise.isStreaming(known.id).catch(() => 'unknown') : 'unknown'
      return { isStreaming: said !== 'no' }
    }
  )
}

export default routes
