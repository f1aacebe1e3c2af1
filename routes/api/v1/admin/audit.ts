import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { wantsTable } from '../../../../src/accept.ts'
import { AuditView, auditCsv, auditView } from '../../../../src/admin/audit-view.ts'
import { tableHeaders } from '../../../../src/csv.ts'
import { Members, pageOrTable, PageQuery, PageReply, problems, Type } from '../../../../src/schema.ts'
import { decodeCursor, toPage } from '../../../../src/store/cursor.ts'

const Filter = Members({
  actor: Type.Optional(Type.String({ maxLength: 128, description: 'id of the user who made the change' })),
  target: Type.Optional(Type.String({ maxLength: 300, description: 'id of what was changed' })),
  action: Type.Optional(Type.String({ maxLength: 100, description: 'such as user.update' })),
  ...PageQuery
})

const AuditPage = Type.Object({ entries: Type.Array(AuditView), ...PageReply })

/** The record of administration. */
export default (async function auditRoutes(app) {
  app.get(
    '/audit',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'audit.list',
        summary:
          'Changes made through /admin, newest first; with Accept: text/csv all that match from there on, as a table',
        tags: ['admin'],
        security: [{ bearer: [] }],
        querystring: Filter,
        response: {
          200: pageOrTable(AuditPage, 'A page of entries, or the export'),
          ...problems(401, 403, 422, 503)
        }
      }
    },
    async function listAudit(request, reply) {
      const { limit = 50, cursor, ...filter } = request.query
      const after = decodeCursor(cursor, 'number')
      if (wantsTable(request.headers.accept))
        return reply.headers(tableHeaders('audit')).send(Readable.from(auditCsv(app.auditLog.all(filter, after))))
      const rows = await app.auditLog.list(filter, { ...(after ? { after } : {}), limit: limit + 1 })
      const { items, ...tail } = toPage(rows, limit, (row) => row.createdAt)
      return { entries: items.map(auditView), ...tail }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
