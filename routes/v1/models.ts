import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../src/auth/identity.ts'
import { AppError } from '../../src/errors.ts'
import { modelOf } from '../../src/openai/models.ts'
import { ModelBody, ModelList, openAiErrors } from '../../src/openai/schemas.ts'
import { Type } from '../../src/schema.ts'

const MOST_MODELS = 1000
const common = { tags: ['openai'], security: [{ bearer: [] }] }

/** The caller's chatflows as clients made for OpenAI look for them. */
export default (async function models(app) {
  const config = { access: 'user', scope: ['chat', 'read'] } as const
  app.setErrorHandler(app.sendOpenAiError)

  app.get(
    '/models',
    {
      config,
      schema: {
        ...common,
        operationId: 'openai.models',
        summary: 'The chatflows the caller may use, as models',
        response: { 200: ModelList, ...openAiErrors(401, 403, 429, 503) }
      }
    },
    async function listModels(request) {
      const grants = await app.permissions.visibleTo(identityOf(request), { afterId: undefined, limit: MOST_MODELS })
      return { object: 'list' as const, data: grants.map(({ chatflow }) => modelOf(chatflow)) }
    }
  )

  app.get(
    '/models/:model',
    {
      config,
      schema: {
        ...common,
        operationId: 'openai.model',
        summary: 'One chatflow, by id or alias, as a model',
        params: Type.Object({ model: Type.String({ examples: ['support'] }) }),
        response: { 200: ModelBody, ...openAiErrors(401, 403, 404, 429, 503) }
      }
    },
    async function getModel(request) {
      const chatflow = await app.chatflows.named(request.params.model)
      if (chatflow === undefined) throw new AppError('chatflow_not_found')
      return modelOf((await app.grantFor(request, chatflow.id)).chatflow)
    }
  )
} satisfies FastifyPluginAsyncTypebox)
