import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ArrayQuery, ChatflowParams } from '../../../../../src/chatflows/schemas.ts'
import { isoInstant } from '../../../../../src/clock.ts'
import { AppError, invalid } from '../../../../../src/errors.ts'
import { nextLink } from '../../../../../src/next-link.ts'
import { onlyName, type UserName } from '../../../../../src/permissions/naming.ts'
import {
  AssignedBody,
  AssignedUser,
  BulkBody,
  RemovedBody,
  UserNameBody,
  UserNameQuery,
  UserNamesBody
} from '../../../../../src/permissions/schemas.ts'
import { Members, Nullable, responses, Type } from '../../../../../src/schema.ts'
import type { GrantRow } from '../../../../../src/store/collections.ts'
import { decodeCursor, toPage } from '../../../../../src/store/cursor.ts'

const MAX_NAMES = 500
const common = { tags: ['admin'], security: [{ bearer: [] }] }

/** Who may use which chatflow. */
export default (async function adminGrants(app) {
  const config = { access: 'admin' } as const

  async function shown({ userId, assignedAt, assignedBy }: GrantRow) {
    const user = await app.users.findById(userId)
    const { username = null, email = null } = user ?? {}
    return { user_id: userId, username, email, assigned_at: isoInstant(assignedAt), assigned_by: assignedBy }
  }

  app.get(
    '/:chatflow_id/users',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.list',
        summary: 'The users a chatflow is assigned to',
        params: ChatflowParams,
        querystring: Members(ArrayQuery),
        response: responses(Type.Array(AssignedUser), 400, 401, 403, 404, 422, 503)
      }
    },
    async function listUsers(request, reply) {
      const chatflowId = request.params.chatflow_id
      const { limit = 1000, cursor } = request.query
      if ((await app.chatflows.get(chatflowId)) === undefined) throw new AppError('chatflow_not_found')
      const last = decodeCursor(cursor, 'number')
      const after = last ? { assignedAt: Number(last.value), userId: last.id } : undefined
      const rows = await app.permissions.ofChatflow(chatflowId, { after, limit: limit + 1 })
      // The cursor names the user: the id of a grant may be longer than a cursor holds.
      const grants = rows.map((grant) => ({ grant, id: grant.userId }))
      const { items, next_cursor } = toPage(grants, limit, ({ grant }) => grant.assignedAt)
      if (next_cursor) reply.header('link', nextLink(request.originalUrl, next_cursor))
      return Promise.all(items.map(({ grant }) => shown(grant)))
    }
  )

  app.post(
    '/:chatflow_id/users',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.assign',
        summary: 'Assign a chatflow to a user',
        params: ChatflowParams,
        body: UserNameBody,
        response: responses(AssignedBody, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function assign(request) {
      return app.assignmentsBy(request).assign(request.params.chatflow_id, onlyName(request.body))
    }
  )

  app.post(
    '/:chatflow_id/users/bulk-add',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.assignMany',
        summary: 'Assign a chatflow to many users, each with its own result',
        params: ChatflowParams,
        body: UserNamesBody,
        response: responses(BulkBody, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function assignMany(request) {
      const { emails, usernames, user_ids } = request.body
      const names: UserName[] = [
        ...(emails ?? []).map((email) => ({ email })),
        ...(usernames ?? []).map((username) => ({ username })),
        ...(user_ids ?? []).map((user_id) => ({ user_id }))
      ]
      if (names.length === 0 || names.length > MAX_NAMES)
        throw invalid(['body', 'users'], `must be 1 to ${MAX_NAMES} in emails, usernames and user_ids together`)
      const { chatflow_id: chatflowId } = request.params
      const { successes, failures } = await app.assignmentsBy(request).assignAll(chatflowId, names)
      const message = `${successes.length} assigned, ${failures.length} failed.`
      return { successful_assignments: successes, failed_assignments: failures, message }
    }
  )

  app.delete(
    '/:chatflow_id/users',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.remove',
        summary: 'Take a chatflow away from a user, who is named in the query or in the body',
        params: ChatflowParams,
        querystring: UserNameQuery,
        body: Nullable(UserNameBody),
        response: responses(RemovedBody, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function removeNamed(request) {
      return app.assignmentsBy(request).remove(request.params.chatflow_id, onlyName(request.query, request.body))
    }
  )

  app.delete(
    '/:chatflow_id/users/:user',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.removeOne',
        summary: 'Take a chatflow away from a user, whose id, e-mail address or username is in the path',
        params: Type.Object({ ...ChatflowParams.properties, user: Type.String() }),
        response: responses(RemovedBody, 400, 401, 403, 404, 422, 503)
      }
    },
    async function removeAny(request) {
      const { chatflow_id: chatflowId, user } = request.params
      return app.assignmentsBy(request).remove(chatflowId, { any: user })
    }
  )
} satisfies FastifyPluginAsyncTypebox)
