import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { requireWholeAccount } from '../../../../src/auth/scopes.ts'
import { Balance, TransactionPage } from '../../../../src/credits/view.ts'
import { Members, PageQuery, responses } from '../../../../src/schema.ts'

const config = { access: 'user', scope: ['read', 'chat'] } as const
const common = { tags: ['credits'], security: [{ bearer: [] }] }

/** The caller's own credits. */
export default (async function creditRoutes(app) {
  app.get(
    '/credits',
    {
      config,
      schema: {
        ...common,
        operationId: 'credits.balance',
        summary: 'Your credits',
        response: responses(Balance, 401, 503)
      }
    },
    (request) => app.creditAccounts.balance(app.customerOf(request))
  )

  app.get(
    '/credits/transactions',
    {
      config,
      schema: {
        ...common,
        operationId: 'credits.transactions',
        summary: 'Grants, adjustments and charges of yours, newest first',
        querystring: Members(PageQuery),
        response: responses(TransactionPage, 401, 403, 422, 503)
      }
    },
    async function listTransactions(request) {
      const { userId, key } = identityOf(request)
      requireWholeAccount(key)
      const { limit = 50, cursor } = request.query
      return app.creditAccounts.transactions(userId, { limit, cursor })
    }
  )
} satisfies FastifyPluginAsyncTypebox)
