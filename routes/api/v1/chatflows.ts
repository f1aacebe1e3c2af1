import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../src/auth/identity.ts'
import { reduceChatbotConfig } from '../../../src/chatflows/chatbot-config.ts'
import { ArrayQuery, ChatbotConfigBody, ChatflowBody, ChatflowParams } from '../../../src/chatflows/schemas.ts'
import { nextLink } from '../../../src/next-link.ts'
import { grantOf } from '../../../src/permissions/permissions.ts'
import { Members, responses, Type } from '../../../src/schema.ts'
import { decodeCursor, toPage } from '../../../src/store/cursor.ts'

const common = { tags: ['chatflows'], security: [{ bearer: [] }] }

/** The chatflows of the caller. */
export default (async function chatflows(app) {
  const config = { access: 'user', scope: ['read', 'chat'] } as const

  app.get(
    '/chatflows',
    {
      config,
      schema: {
        ...common,
        operationId: 'chatflows.list',
        summary: 'The chatflows the caller may use; for administrators all',
        querystring: Members(ArrayQuery),
        response: responses(Type.Array(ChatflowBody), 400, 401, 422, 503)
      }
    },
    async function listChatflows(request, reply) {
      const { limit = 1000, cursor } = request.query
      const afterId = decodeCursor(cursor, 'string')?.id
      const grants = await app.permissions.visibleTo(identityOf(request), { afterId, limit: limit + 1 })
      const shown = grants.map(({ chatflow, assignedAt }) => app.chatflows.shown(chatflow, assignedAt))
      const { items, next_cursor } = toPage(shown, limit, ({ id }) => id)
      if (next_cursor) reply.header('link', nextLink(request.originalUrl, next_cursor))
      return items
    }
  )

  app.get(
    '/chatflows/:chatflow_id',
    {
      config,
      preHandler: app.requireGrant,
      schema: {
        ...common,
        operationId: 'chatflows.get',
        summary: 'One chatflow',
        params: ChatflowParams,
        response: responses(ChatflowBody, 400, 401, 403, 404, 503)
      }
    },
    async function getChatflow(request) {
      const { chatflow, assignedAt } = grantOf(request)
      return app.chatflows.shown(chatflow, assignedAt)
    }
  )

  app.get(
    '/chatflows/:chatflow_id/config',
    {
      config,
      preHandler: app.requireGrant,
      schema: {
        ...common,
        operationId: 'chatflows.config',
        summary: 'What a client needs to draw the chat window',
        params: ChatflowParams,
        response: responses(ChatbotConfigBody, 400, 401, 403, 404, 502, 503)
      }
    },
    async function getChatbotConfig(request) {
      return reduceChatbotConfig(await app.flowise.chatbotConfig(grantOf(request).chatflow.id))
    }
  )
} satisfies FastifyPluginAsyncTypebox)
