import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { AppError } from '../../../../src/errors.ts'
import { Members, responses, Type } from '../../../../src/schema.ts'
import { isOwn } from '../../../../src/usage/receipts.ts'
import { Receipt } from '../../../../src/usage/receipt-view.ts'

/** What the caller's predictions used and cost; it does not go with the conversation. */
export default (async function receiptRoutes(app) {
  app.get(
    '/receipts/:id',
    {
      config: { access: 'user', scope: ['read', 'chat'] },
      schema: {
        operationId: 'receipts.get',
        summary: 'What a prediction of yours used and cost, also while it runs and after its conversation is deleted',
        tags: ['credits'],
        security: [{ bearer: [] }],
        params: Members({ id: Type.String({ description: 'message_id of the answer, or id of the transaction' }) }),
        response: responses(Receipt, 400, 401, 403, 404, 503)
      }
    },
    async function getReceipt(request) {
      const record = await app.receipts.find(request.params.id)
      if (!record || !isOwn(record, identityOf(request))) throw new AppError('receipt_not_found')
      return app.receiptView(record)
    }
  )
} satisfies FastifyPluginAsyncTypebox)
