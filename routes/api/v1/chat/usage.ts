import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { Members, pageOrTable, problems } from '../../../../src/schema.ts'
import { UsagePage, UsageQueryMembers } from '../../../../src/usage/report-view.ts'

/** What the caller's own predictions have used and cost. */
export default (async function usageRoutes(app) {
  app.get(
    '/usage',
    {
      config: { access: 'user', scope: 'read' },
      schema: {
        operationId: 'credits.usage',
        summary: 'Your predictions, tokens and credits by day, chatflow and key; with Accept: text/csv all of it',
        tags: ['credits'],
        security: [{ bearer: [] }],
        querystring: Members(UsageQueryMembers),
        response: {
          200: pageOrTable(UsagePage, 'A page of the report, or the export'),
          ...problems(401, 403, 422, 503)
        }
      }
    },
    function ownUsage(request, reply) {
      const { userId, key } = identityOf(request)
      const query = { ...request.query, user_id: userId }
      const dimensions = ['day', 'chatflow', 'key'] as const
      return app.answerUsage(request, reply, { query, dimensions, within: key?.chatflowIds ?? undefined })
    }
  )
} satisfies FastifyPluginAsyncTypebox)
