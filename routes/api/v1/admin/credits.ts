import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { identityOf } from '../../../../src/auth/identity.ts'
import type { CreditChange, CreditReply } from '../../../../src/credits/changes.ts'
import { toCustomer } from '../../../../src/credits/accounting-tokens.ts'
import { Balance, TransactionPage } from '../../../../src/credits/view.ts'
import { invalid } from '../../../../src/errors.ts'
import { Credits, Id, Members, Nullable, PageQuery, responses, Type } from '../../../../src/schema.ts'

const MAX = 1_000_000_000
const Params = Members({ id: Id })
const Note = Type.String({ minLength: 1, maxLength: 1000 })
const Key = {
  idempotency_key: Type.Optional(Type.String({ maxLength: 128, description: 'or header Idempotency-Key' }))
}
const Headers = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ description: '1 to 128 visible ASCII characters' }))
})

const Allocation = Members({
  amount: Type.Number({ exclusiveMinimum: 0, maximum: MAX }),
  note: Type.Optional(Note),
  ...Key
})
const Adjustment = Members({
  amount: Type.Number({ minimum: -MAX, maximum: MAX, not: { const: 0 } }),
  note: Note,
  ...Key
})
const Setting = Members({ amount: Type.Number({ minimum: 0, maximum: MAX }), note: Note, ...Key })
const Frozen = Members({ frozen: Type.Boolean() })

const Changed = Type.Object({
  user_id: Type.String(),
  amount: Credits,
  credits_remaining: Credits,
  credits_held: Credits,
  transaction_id: Nullable(Type.String())
})

const actions = [
  { action: 'allocate', summary: 'Give credits', body: Allocation },
  { action: 'adjust', summary: 'Give or take credits', body: Adjustment },
  { action: 'set', summary: 'Make credits_remaining this amount', body: Setting }
] as const

const config = { access: 'admin' } as const
const common = { tags: ['credits'], security: [{ bearer: [] }], params: Params }

/** Everybody's credits, for administrators. */
export default (async function adminCreditRoutes(app) {
  app.get(
    '/users/:id/credits',
    {
      config,
      schema: {
        ...common,
        operationId: 'credits.balanceOf',
        summary: "A user's credits",
        response: responses(Balance, 401, 403, 404, 503)
      }
    },
    async function balanceOf(request) {
      return app.creditAccounts.balance(toCustomer(await app.userAdmin.get(request.params.id)))
    }
  )

  app.get(
    '/users/:id/credits/transactions',
    {
      config,
      schema: {
        ...common,
        operationId: 'credits.transactionsOf',
        summary: "A user's grants, adjustments and charges, newest first",
        querystring: Members(PageQuery),
        response: responses(TransactionPage, 401, 403, 404, 422, 503)
      }
    },
    async function transactionsOf(request) {
      const { limit = 50, cursor } = request.query
      const { id } = await app.userAdmin.get(request.params.id)
      return app.creditAccounts.transactions(id, { limit, cursor })
    }
  )

  for (const { action, summary, body } of actions)
    app.post(
      `/users/:id/credits/${action}`,
      {
        config,
        schema: {
          ...common,
          operationId: `credits.${action}`,
          summary: `${summary}; needs an idempotency key`,
          headers: Headers,
          body,
          response: responses(Changed, 400, 401, 403, 404, 409, 413, 415, 422, 503)
        }
      },
      async function changeCredits(request, reply) {
        const { id } = await app.userAdmin.get(request.params.id)
        const { amount, note = null, idempotency_key: member } = request.body
        const key = idempotencyKeyOf(request, member)
        return change(request, reply, { userId: id, action, amount, note, key })
      }
    )

  async function change(
    request: FastifyRequest,
    reply: FastifyReply,
    wanted: Omit<CreditChange, 'actorId'>
  ): Promise<CreditReply> {
    const { userId: target, action, amount, note, key } = wanted
    const actorId = identityOf(request).userId
    const changed = await app.creditChanges.apply({ ...wanted, actorId }, ({ before, after }) =>
      app.audit(request, {
        action: `credits.${action}`,
        target,
        before: { credits_remaining: before },
        after: { credits_remaining: after, amount, note },
        key
      })
    )
    if (changed.isReplay) reply.header('idempotency-replayed', 'true')
    return changed.reply
  }

  app.put(
    '/users/:id/credits/frozen',
    {
      config,
      schema: {
        ...common,
        operationId: 'credits.freeze',
        summary: 'Stop or allow new predictions; running ones settle',
        body: Frozen,
        response: responses(
          Type.Object({ user_id: Type.String(), frozen: Type.Boolean() }),
          400,
          401,
          403,
          404,
          413,
          415,
          422,
          503
        )
      }
    },
    async function freeze(request) {
      const { id } = await app.userAdmin.get(request.params.id)
      const { frozen } = request.body
      const turned = { before: { frozen: !frozen }, after: { frozen } }
      const entry = app.auditWith(request, { action: 'credits.freeze', target: id, ...turned })
      await app.creditAccounts.setFrozen(id, frozen, [entry])
      return { user_id: id, frozen }
    }
  )
} satisfies FastifyPluginAsyncTypebox)

/** The header, else the member. @throws validation_error without either, or when it is malformed */
function idempotencyKeyOf(request: FastifyRequest, member: string | undefined): string {
  const header = request.headers['idempotency-key']
  const loc = header === undefined ? ['body', 'idempotency_key'] : ['header', 'Idempotency-Key']
  const key = header ?? member
  if (key === undefined) throw invalid(loc, 'or the header Idempotency-Key is required')
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(key))
    throw invalid(loc, 'must be 1 to 128 visible ASCII characters')
  return key
}
