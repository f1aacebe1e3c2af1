import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { wantsTable } from '../../../../../src/accept.ts'
import { ChatflowParams } from '../../../../../src/chatflows/schemas.ts'
import { tableHeaders } from '../../../../../src/csv.ts'
import { AppError } from '../../../../../src/errors.ts'
import { leadsCsv, LeadPage, leadView } from '../../../../../src/leads/view.ts'
import { Members, pageOrTable, PageQuery, problems } from '../../../../../src/schema.ts'
import { decodeCursor, toPage } from '../../../../../src/store/cursor.ts'

/** Who left an address in the chats of a chatflow. */
export default (async function adminLead(app) {
  app.get(
    '/:chatflow_id/leads',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'admin.leads.list',
        summary:
          'Who left an address in the chats of a chatflow, newest first; with Accept: text/csv all of it, as a table',
        tags: ['admin'],
        security: [{ bearer: [] }],
        params: ChatflowParams,
        querystring: Members(PageQuery),
        response: {
          200: pageOrTable(LeadPage, 'A page, or the export'),
          ...problems(401, 403, 404, 422, 503)
        }
      }
    },
    async function listLead(request, reply) {
      const { chatflow_id: chatflowId } = request.params
      const { limit = 50, cursor } = request.query
      if ((await app.chatflows.get(chatflowId)) === undefined) throw new AppError('chatflow_not_found')
      const after = decodeCursor(cursor, 'number')
      if (wantsTable(request.headers.accept))
        return reply.headers(tableHeaders('leads')).send(Readable.from(leadsCsv(app.leads.all(chatflowId))))
      const rows = await app.leads.ofChatflow(chatflowId, { after, limit: limit + 1 })
      const { items, ...tail } = toPage(rows, limit, (row) => row.createdAt)
      return { leads: items.map(leadView), ...tail }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
