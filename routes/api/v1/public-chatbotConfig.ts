import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { identityOf } from '../../../src/auth/identity.ts'
import { isWithin } from '../../../src/auth/scopes.ts'
import { ChatflowParams, ChatflowUploadsBody, WidgetConfigBody } from '../../../src/chatflows/schemas.ts'
import { uploadsOf, withoutIndexing } from '../../../src/chatflows/widget-config.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { grantOf } from '../../../src/permissions/permissions.ts'

const common = { tags: ['flowise'], security: [{ bearer: [] }] }

/** What clients made for Flowise ask before they begin. */
export default (async function chatbotConfig(app) {
  const config = { access: 'user', scope: 'embed' } as const
  app.setErrorHandler(app.sendFlowiseError)

  /** What may be done with the chatflow; what would be refused is not offered. */
  async function offered(request: FastifyRequest): Promise<Record<string, unknown>> {
    const { chatflow } = grantOf(request)
    const found = await app.widgetConfig(chatflow.id)
    const { key } = identityOf(request)
    const mayIndex = chatflow.upsertPriceMicro !== undefined && (key === null || isWithin(key.scopes, 'chat'))
    return mayIndex ? found : withoutIndexing(found)
  }

  app.get(
    '/public-chatbotConfig/:chatflow_id',
    {
      config,
      preHandler: app.requireGrant,
      schema: {
        ...common,
        operationId: 'flowise.config',
        summary: 'What the widget needs to begin, without secrets and without the graph behind its start',
        params: ChatflowParams,
        response: { 200: WidgetConfigBody, ...flowiseErrors(401, 403, 404, 429, 502, 503) }
      }
    },
    async function getWidgetConfig(request) {
      return offered(request)
    }
  )

  app.get(
    '/chatflows-uploads/:chatflow_id',
    {
      config,
      preHandler: app.requireGrant,
      schema: {
        ...common,
        operationId: 'flowise.uploads',
        summary: 'What files a chatflow takes',
        params: ChatflowParams,
        response: { 200: ChatflowUploadsBody, ...flowiseErrors(401, 403, 404, 429, 502, 503) }
      }
    },
    async function getUploads(request) {
      return uploadsOf(await offered(request))
    }
  )
} satisfies FastifyPluginAsyncTypebox)
