import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { chatOwnerOf, identityOf } from '../../../src/auth/identity.ts'
import { AppError } from '../../../src/errors.ts'
import { readUploads } from '../../../src/flowise/uploads.ts'
import { isSessionId, readCompletion, sessionNamed, sessionNameOf } from '../../../src/openai/request.ts'
import { Completion, CompletionBody, CompletionHeaders, openAiErrors } from '../../../src/openai/schemas.ts'
import { Type } from '../../../src/schema.ts'

const Stream = Type.String({ description: 'server-sent events: chunks of a chat completion, then [DONE], or an error' })

/** Predictions for clients made for OpenAI. */
export default (async function completions(app) {
  const { bodyBytes: bodyLimit, uploads: maxFiles } = app.config.limits
  app.setErrorHandler(app.sendOpenAiError)

  /** The session that a name means; undefined without one. */
  async function sessionFor(name: string | undefined, owner: Parameters<typeof sessionNamed>[1]) {
    if (name === undefined) return undefined
    return sessionNamed(
      name,
      owner,
      isSessionId(name, owner) ? await app.history.sessionToContinue(name, owner) : undefined
    )
  }

  app.post(
    '/completions',
    {
      config: { access: 'prediction', scope: 'chat' },
      bodyLimit,
      preHandler: async (request) => {
        const { body, headers } = request
        const chatflow = await app.chatflows.named(body.model)
        if (chatflow === undefined) throw new AppError('chatflow_not_found')
        const owner = { ...chatOwnerOf(identityOf(request)), chatflowId: chatflow.id }
        const sessionId = await sessionFor(sessionNameOf(body, headers['x-session-id']), owner)
        request.prediction = readCompletion(body, { chatflow, sessionId, maxFiles, readFile })
        // Their files are in the prediction now.
        body.messages = []
      },
      schema: {
        tags: ['openai'],
        security: [{ bearer: [] }],
        operationId: 'openai.completions',
        summary: 'Ask a chatflow with the messages of a chat completion; one JSON reply, or a stream',
        headers: CompletionHeaders,
        body: CompletionBody,
        response: {
          200: {
            description: 'the answer',
            content: { 'application/json': { schema: Completion }, 'text/event-stream': { schema: Stream } }
          },
          ...openAiErrors(400, 401, 402, 403, 404, 409, 413, 415, 429, 500, 502, 503)
        }
      }
    },
    (request, reply) => {
      const { model, stream_options: options } = request.body
      const form = { model, includeUsage: options?.include_usage === true }
      if (request.prediction?.wantsStream) return app.completeStream(request, reply, form)
      return app.completeJson(request, form)
    }
  )
} satisfies FastifyPluginAsyncTypebox)

function readFile(data: string, name: string | undefined) {
  const [file] = readUploads([{ data, ...(name === undefined ? {} : { name }) }])
  if (file === undefined) throw new AppError('internal_error')
  return file
}
