import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { invalid } from '../../../../../src/errors.ts'
import { AuditBody, CleanupBody, CleanupRequestBody } from '../../../../../src/permissions/schemas.ts'
import { Id, Members, responses, Type } from '../../../../../src/schema.ts'

const common = { tags: ['admin'], security: [{ bearer: [] }] }

/** Grants that lead nowhere. */
export default (async function adminGrantReview(app) {
  const config = { access: 'admin' } as const

  app.get(
    '/audit-users',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.audit',
        summary: 'Find assignments of users or chatflows that are gone or disabled',
        querystring: Members({ chatflow_id: Type.Optional(Id) }),
        response: responses(AuditBody, 400, 401, 403, 404, 422, 503)
      }
    },
    async function auditGrants(request) {
      return app.grantReviewBy(request).audit(request.query.chatflow_id)
    }
  )

  app.post(
    '/cleanup-users',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.grants.cleanup',
        summary: 'End the assignments an audit finds; a dry run unless told otherwise',
        body: CleanupRequestBody,
        response: responses(CleanupBody, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function cleanUpGrants(request) {
      const { action, chatflow_ids, dry_run: isDryRun = true, force = false } = request.body
      if (action === 'delete_invalid' && !isDryRun && !force)
        throw invalid(['body', 'force'], 'must be true to delete assignments')
      return app.grantReviewBy(request).cleanup({ action, chatflowIds: chatflow_ids ?? undefined, isDryRun })
    }
  )
} satisfies FastifyPluginAsyncTypebox)
