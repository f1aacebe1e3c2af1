import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Id, responses, Type } from '../../../src/schema.ts'

/** Flowise's own way to ask whether a chatflow streams, for clients made for Flowise: they ask it without a token. */
const routes: FastifyPluginAsyncTypebox = async function chatflowsStreaming(app) {
  app.get(
    '/chatflows-streaming/:chatflow_id',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'chatflows.streaming',
        summary: "Flowise's own path: whether a chatflow streams; one that is not known does",
        tags: ['predictions'],
        params: Type.Object({ chatflow_id: Id }),
        response: responses(Type.Object({ isStreaming: Type.Boolean() }), 500)
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
