import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Members, problems, Type } from '../../../../src/schema.ts'
import { readEventId } from '../../../../src/streams/event-id.ts'

const Events = Type.String({
  description: 'server-sent events as of the prediction; one that begins with session_id (id 1) begins anew'
})
const replies = {
  200: { description: 'the stream', content: { 'text/event-stream': { schema: Events } } },
  204: Type.Null({ description: 'nothing is left of it' }),
  ...problems(401, 403, 404, 409, 422, 429, 500, 502, 503)
}
const common = { tags: ['predictions'], security: [{ bearer: [] }] }

/** Streams for clients that lost theirs, and for those that want to watch as well. */
const routes: FastifyPluginAsyncTypebox = async function streams(app) {
  const config = { access: 'user', scope: 'chat' } as const

  app.get(
    '/streams/:message_id',
    {
      config,
      // A stream has no length that could be told without running it.
      exposeHeadRoute: false,
      schema: {
        ...common,
        operationId: 'predictions.resume',
        summary: 'The rest of a stream behind Last-Event-ID, or all of it; a finished answer is told again',
        params: Type.Object({ message_id: Type.String() }),
        querystring: Members({
          last_event_id: Type.Optional(
            Type.String({ maxLength: 64, description: 'for a first request that cannot send Last-Event-ID' })
          )
        }),
        response: replies
      }
    },
    (request, reply) => {
      const after = readEventId(request.headers['last-event-id'], request.query.last_event_id)
      return app.followMessage(request, reply, request.params.message_id, after)
    }
  )

  app.get(
    '/sessions/:session_id/stream',
    {
      config,
      exposeHeadRoute: false,
      schema: {
        ...common,
        operationId: 'predictions.watch',
        summary: 'The stream that runs in a session, from its beginning; 204 if none does',
        params: Type.Object({ session_id: Type.String() }),
        response: replies
      }
    },
    (request, reply) => app.followSession(request, reply, request.params.session_id)
  )
}

export default routes
