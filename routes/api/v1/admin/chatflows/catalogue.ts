import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../../src/auth/identity.ts'
import {
  AdminChatflowBody,
  ArrayQuery,
  ChatflowParams,
  ChatflowPatchBody
} from '../../../../../src/chatflows/schemas.ts'
import { settingsOf } from '../../../../../src/chatflows/views.ts'
import { AppError } from '../../../../../src/errors.ts'
import { nextLink } from '../../../../../src/next-link.ts'
import { assignedAtOf, type Grant } from '../../../../../src/permissions/permissions.ts'
import { Members, responses, Type } from '../../../../../src/schema.ts'
import type { ChatflowRow } from '../../../../../src/store/collections.ts'
import { decodeCursor, toPage } from '../../../../../src/store/cursor.ts'

const common = { tags: ['admin'], security: [{ bearer: [] }] }

/** The catalogue as administrators see and set it. */
export default (async function adminCatalogue(app) {
  const config = { access: 'admin' } as const

  async function shown({ chatflow, assignedAt }: Grant) {
    const assignedUsers = await app.permissions.countOfChatflow(chatflow.id)
    return app.chatflows.shownToAdmin(chatflow, { assignedAt, assignedUsers })
  }

  async function shownTo(userId: string, chatflow: ChatflowRow) {
    const grant = await app.permissions.find({ userId, chatflowId: chatflow.id })
    return shown({ chatflow, assignedAt: assignedAtOf(grant) })
  }

  async function known(chatflowId: string): Promise<ChatflowRow> {
    const chatflow = await app.chatflows.get(chatflowId)
    if (chatflow === undefined) throw new AppError('chatflow_not_found')
    return chatflow
  }

  app.get(
    '',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.chatflows.list',
        summary: 'All chatflows of the catalogue',
        querystring: Members({ ...ArrayQuery, include_deleted: Type.Optional(Type.Boolean({ default: false })) }),
        response: responses(Type.Array(AdminChatflowBody), 400, 401, 403, 422, 503)
      }
    },
    async function listAll(request, reply) {
      const { limit = 1000, cursor, include_deleted: withDeleted = false } = request.query
      const page = { afterId: decodeCursor(cursor, 'string')?.id, limit: limit + 1, withDeleted }
      const rows = await Promise.all((await app.permissions.visibleTo(identityOf(request), page)).map(shown))
      const { items, next_cursor } = toPage(rows, limit, ({ id }) => id)
      if (next_cursor) reply.header('link', nextLink(request.originalUrl, next_cursor))
      return items
    }
  )

  app.get(
    '/:chatflow_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.chatflows.get',
        summary: 'One chatflow of the catalogue, a deleted one too',
        params: ChatflowParams,
        response: responses(AdminChatflowBody, 400, 401, 403, 404, 503)
      }
    },
    async function getOne(request) {
      return shownTo(identityOf(request).userId, await known(request.params.chatflow_id))
    }
  )

  app.patch(
    '/:chatflow_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.chatflows.update',
        summary: 'Set price and allow-lists; null goes back to the default',
        params: ChatflowParams,
        body: ChatflowPatchBody,
        response: responses(AdminChatflowBody, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function update(request) {
      const target = request.params.chatflow_id
      const chatflow = await app.chatflows.patch(target, request.body, (before, after) => {
        const change = { before: settingsOf(before), after: settingsOf(after) }
        return [app.auditWith(request, { action: 'chatflow.update', target, ...change })]
      })
      if (chatflow === undefined) throw new AppError('chatflow_not_found')
      return shownTo(identityOf(request).userId, chatflow)
    }
  )
} satisfies FastifyPluginAsyncTypebox)
