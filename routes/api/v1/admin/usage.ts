import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { pageOrTable, problems } from '../../../../src/schema.ts'
import { AdminUsageQuery, UsagePage } from '../../../../src/usage/report-view.ts'

/** What everybody's predictions have used and cost. */
export default (async function adminUsageRoutes(app) {
  app.get(
    '/usage',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'admin.usage',
        summary: 'Predictions, tokens and credits by day, user, chatflow and key; with Accept: text/csv all of it',
        tags: ['admin'],
        security: [{ bearer: [] }],
        querystring: AdminUsageQuery,
        response: {
          200: pageOrTable(UsagePage, 'A page of the report, or the export'),
          ...problems(401, 403, 422, 503)
        }
      }
    },
    (request, reply) => app.answerUsage(request, reply, { query: request.query })
  )
} satisfies FastifyPluginAsyncTypebox)
