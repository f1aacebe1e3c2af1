import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { Id, Message, responses, Type } from '../../../../src/schema.ts'

const Reply = Type.Object({
  message: Message,
  session_id: Type.String(),
  stopped: Type.Boolean({ description: 'false: nothing was running' })
})

/** Ending a running prediction without closing its connection. */
const routes: FastifyPluginAsyncTypebox = async function stop(app) {
  app.post(
    '/sessions/:session_id/stop',
    {
      config: { access: 'user', scope: 'chat' },
      schema: {
        operationId: 'predictions.stop',
        summary: 'Stop the prediction that runs in a session; its stream ends, what was produced is kept and charged',
        tags: ['predictions'],
        security: [{ bearer: [] }],
        params: Type.Object({ session_id: Id }),
        response: responses(Reply, 401, 403, 404, 503)
      }
    },
    async (request) => {
      const { session_id } = request.params
      const stopped = await app.stopRun(identityOf(request), session_id)
      // A session whose first run has not been stored yet is known by its run alone.
      if (!stopped) await app.reachSession(request, session_id)
      return { message: stopped ? 'The prediction is stopping.' : 'No prediction is running.', session_id, stopped }
    }
  )
}

export default routes
