import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { mayReach } from '../../../../src/auth/scopes.ts'
import { listedFiles } from '../../../../src/files/view.ts'
import { MessageBody, messageView, SessionBody, sessionView } from '../../../../src/history/schemas.ts'
import { Id, Members, Message, PageQuery, PageReply, responses, Type } from '../../../../src/schema.ts'
import { collect } from '../../../../src/store/collect.ts'
import type { SessionRow } from '../../../../src/store/collections.ts'
import { decodeCursor, toPage } from '../../../../src/store/cursor.ts'

const common = { tags: ['sessions'], security: [{ bearer: [] }] }
const SessionParams = Type.Object({ session_id: Type.String() })

const SessionList = Members({ sessions: Type.Array(SessionBody), ...PageReply })
const History = Members({ session_id: Id, messages: Type.Array(MessageBody), ...PageReply })
const Deletion = { message: Message, messages_deleted: Type.Integer(), files_deleted: Type.Integer() }
const SessionDeletion = Members({ ...Deletion, session_id: Id })
const HistoryDeletion = Members({ ...Deletion, sessions_deleted: Type.Integer() })

/** The caller's own conversations; reading and deleting them needs no grant and no existing chatflow. */
export default (async function sessions(app) {
  const reading = { access: 'user', scope: ['read', 'chat'] } as const

  app.get(
    '/sessions',
    {
      config: reading,
      schema: {
        ...common,
        operationId: 'sessions.list',
        summary: 'Your conversations, newest first',
        querystring: Members({ ...PageQuery, chatflow_id: Type.Optional(Id) }),
        response: responses(SessionList, 400, 401, 422, 503)
      }
    },
    async function listSessions(request) {
      const { limit = 50, cursor, chatflow_id: chatflowId } = request.query
      const { userId, key } = identityOf(request)
      const start = decodeCursor(cursor, 'number')
      const rows = await collect<SessionRow, SessionRow>({
        limit: limit + 1,
        read(last, size) {
          const after = last ? { value: last.createdAt, id: last.id } : start
          return app.history.sessionsOf(userId, { after, limit: size, chatflowId })
        },
        convert: async (row) => (mayReach(key, row) ? row : undefined)
      })
      const { items, ...rest } = toPage(rows, limit, (row) => row.createdAt)
      return { sessions: items.map(sessionView), ...rest }
    }
  )

  app.get(
    '/sessions/:session_id/history',
    {
      config: reading,
      schema: {
        ...common,
        operationId: 'sessions.history',
        summary: 'The messages of a conversation, oldest first',
        params: SessionParams,
        querystring: Members(PageQuery),
        response: responses(History, 400, 401, 404, 422, 503)
      }
    },
    async function readHistory(request) {
      const { limit = 50, cursor } = request.query
      const { userId } = identityOf(request)
      const session = await app.reachSession(request, request.params.session_id)
      const page = { after: decodeCursor(cursor, 'number'), limit: limit + 1 }
      const rows = await app.history.messagesOf(session.id, page)
      const { items, ...rest } = toPage(rows, limit, (row) => row.position)
      const fileIds = items.flatMap((row) => row.fileIds ?? [])
      const present = await app.files.present(userId, fileIds)
      const messages = items.map((row) => messageView(row, listedFiles(row.fileIds, present, app.config.publicBaseUrl)))
      return { session_id: session.id, messages, ...rest }
    }
  )

  app.delete(
    '/sessions/:session_id',
    {
      config: { access: 'user', scope: 'chat' },
      schema: {
        ...common,
        operationId: 'sessions.delete',
        summary: 'Delete a conversation',
        params: SessionParams,
        response: responses(SessionDeletion, 400, 401, 404, 409, 503)
      }
    },
    async function deleteSession(request) {
      const { id: sessionId, userId } = await app.reachSession(request, request.params.session_id)
      const { messagesDeleted, filesDeleted } = await app.history.remove(userId, sessionId)
      return {
        message: 'The session is deleted.',
        session_id: sessionId,
        messages_deleted: messagesDeleted,
        files_deleted: filesDeleted
      }
    }
  )

  app.delete(
    '/history',
    {
      // Everything at once is more than a program should be able to take away.
      config: { access: 'user' },
      schema: {
        ...common,
        operationId: 'sessions.deleteAll',
        summary: 'Delete all your conversations',
        response: responses(HistoryDeletion, 400, 401, 409, 503)
      }
    },
    async function deleteHistory(request) {
      const { userId } = identityOf(request)
      const { sessionsDeleted, messagesDeleted, filesDeleted } = await app.history.removeAll(userId)
      return {
        message: 'Your history is deleted.',
        sessions_deleted: sessionsDeleted,
        messages_deleted: messagesDeleted,
        files_deleted: filesDeleted
      }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
