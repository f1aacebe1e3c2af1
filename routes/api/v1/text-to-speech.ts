import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { Id, Members, Message, Nullable, Type } from '../../../src/schema.ts'

const spoken = {
  chatflowId: Id,
  chatId: Type.String({ minLength: 1, maxLength: 512, description: "the client's name of the session" }),
  chatMessageId: Type.Optional(Nullable(Type.String({ maxLength: 128 })))
}
const config = { access: 'user', scope: 'embed' } as const
const common = { tags: ['flowise'], security: [{ bearer: [] }] }

/** Answers read aloud, for clients made for Flowise. It costs no credits, and counts as a prediction against the rate limit. */
export default (async function speechRoutes(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.post(
    '/text-to-speech/generate',
    {
      config,
      onRequest: [app.refuseWhileDraining, app.limitPredictions],
      schema: {
        ...common,
        operationId: 'speech.generate',
        summary: 'Read a text aloud: a stream of sound, where the chatflow has a voice; a failure is an event of it',
        body: Members({ ...spoken, text: Type.String({ minLength: 1, maxLength: 10_000 }) }),
        response: {
          200: {
            description: 'events tts_start, tts_data, and tts_end or tts_error',
            content: { 'text/event-stream': { schema: Type.String() } }
          },
          ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 500, 503)
        }
      }
    },
    async function generate(request, reply) {
      const { chatMessageId = null, ...asked } = request.body
      await app.grantFor(request, asked.chatflowId)
      return app.speak(request, reply, { ...asked, chatMessageId })
    }
  )

  app.post(
    '/text-to-speech/abort',
    {
      config,
      schema: {
        ...common,
        operationId: 'speech.abort',
        summary: 'End what is being read aloud in a chat of yours',
        body: Members(spoken),
        response: {
          200: Members({ message: Message, chatId: Type.String(), chatMessageId: Nullable(Type.String()) }),
          ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 500, 503)
        }
      }
    },
    async function abort(request) {
      const { chatMessageId = null, chatId, chatflowId } = request.body
      await app.grantFor(request, chatflowId)
      await app.endSpeech(request, { chatflowId, chatId, chatMessageId })
      return { message: 'TTS stream aborted successfully', chatId, chatMessageId }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
