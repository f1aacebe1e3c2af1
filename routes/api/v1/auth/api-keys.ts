import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { identityOf } from '../../../../src/auth/identity.ts'
import { ApiKeyBody, NewApiKeyBody } from '../../../../src/auth/key-view.ts'
import { toMicro } from '../../../../src/credits/pricing.ts'
import { AppError, invalid } from '../../../../src/errors.ts'
import { Id, Members, Nullable, PageQuery, PageReply, problems, responses, Type } from '../../../../src/schema.ts'
import { decodeCursor, toPage } from '../../../../src/store/cursor.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))
const Params = Members({ key_id: Id })
const Name = Type.String({ minLength: 1, maxLength: 100, pattern: '\\S' })
const Description = Type.String({ maxLength: 500 })
const Budget = Type.Number({ minimum: 0, maximum: 1_000_000_000, description: 'credits, at most six decimals' })
const PerMinute = Type.Integer({ minimum: 1, maximum: 100_000 })
const Scopes = Type.Array(Type.Union([Type.Literal('chat'), Type.Literal('read')]), {
  minItems: 1,
  maxItems: 2,
  uniqueItems: true,
  description: 'chat: predictions and what a chat needs around them; read: reading only. Absent: both'
})

const NewKey = Members(
  {
    name: Name,
    description: optional(Description),
    expires_in_days: optional(Type.Integer({ minimum: 1, maximum: 3650, description: 'absent: never' })),
    scopes: optional(Scopes),
    chatflow_ids: optional(Type.Array(Id, { minItems: 1, maxItems: 100, uniqueItems: true })),
    credit_budget: optional(Budget),
    requests_per_minute: optional(PerMinute)
  },
  { examples: [{ name: 'Shop window', scopes: ['chat'], credit_budget: 100, requests_per_minute: 60 }] }
)
const KeyPatch = Members(
  {
    name: Type.Optional(Name),
    description: optional(Description),
    credit_budget: optional(Budget),
    requests_per_minute: optional(PerMinute)
  },
  { examples: [{ credit_budget: 100 }] }
)
const Rotation = Nullable(
  Members(
    {
      overlap_hours: optional(
        Type.Integer({ minimum: 0, maximum: 168, default: 24, description: 'how long the old key works too' })
      )
    },
    { examples: [{ overlap_hours: 24 }] }
  )
)
const KeyPage = Type.Object({ api_keys: Type.Array(ApiKeyBody), ...PageReply })

const DEFAULT_OVERLAP_HOURS = 24
const HOUR_MS = 3_600_000

/** The caller's API keys; only a login makes and changes them. */
export default (async function apiKeyRoutes(app) {
  const config = { access: 'user' } as const
  const common = { tags: ['authentication'], security: [{ bearer: [] }] }

  app.post(
    '/api-keys',
    {
      config,
      schema: {
        ...common,
        operationId: 'keys.create',
        summary: 'Make an API key; the reply shows it, and nothing else ever does',
        body: NewKey,
        response: { 201: NewApiKeyBody, ...problems(400, 401, 403, 409, 413, 415, 422, 503) }
      }
    },
    async function createKey(request, reply) {
      const { userId } = identityOf(request)
      const { name, description = null, scopes, expires_in_days: days, ...limits } = request.body
      const { chatflow_ids: chatflowIds = null, credit_budget: budget, requests_per_minute: perMinute } = limits
      await requireGrants(app, userId, chatflowIds ?? [])
      const made = await app.apiKeys.create(
        {
          userId,
          name: name.trim(),
          description,
          scopes: scopes ?? ['chat', 'read'],
          chatflowIds,
          budgetMicro: microOf(budget),
          requestsPerMinute: perMinute ?? null,
          lifeMs: days ? days * 24 * HOUR_MS : undefined
        },
        app.recordKeysOf(request)
      )
      return reply.code(201).send({ ...(await app.showKey(made.row)), api_key: made.text })
    }
  )

  app.get(
    '/api-keys',
    {
      config,
      schema: {
        ...common,
        operationId: 'keys.list',
        summary: 'Your API keys, newest first; those that ended are known for another 30 days',
        querystring: Members(PageQuery),
        response: responses(KeyPage, 401, 403, 422, 503)
      }
    },
    async function listKeys(request) {
      const { limit = 50, cursor } = request.query
      const after = decodeCursor(cursor, 'number')
      const rows = await app.apiKeys.list(identityOf(request).userId, { after, limit: limit + 1 })
      const { items, ...tail } = toPage(rows, limit, (row) => row.createdAt)
      return { api_keys: await app.showKeys(items), ...tail }
    }
  )

  app.get(
    '/api-keys/:key_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'keys.get',
        summary: 'One API key, with what is left of its budget',
        params: Params,
        response: responses(ApiKeyBody, 401, 403, 404, 503)
      }
    },
    async function getKey(request) {
      return app.showKey(await app.apiKeys.get(identityOf(request).userId, request.params.key_id))
    }
  )

  app.patch(
    '/api-keys/:key_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'keys.update',
        summary: 'Change an API key; credit_budget is what it may spend from now on, null takes the budget away',
        description: 'What predictions that run at that time give back comes on top. To stop a key, revoke it.',
        params: Params,
        body: KeyPatch,
        response: responses(ApiKeyBody, 400, 401, 403, 404, 409, 413, 415, 422, 503)
      }
    },
    async function updateKey(request) {
      const { name, description, credit_budget: budget, requests_per_minute: perMinute } = request.body
      const change = {
        ...(name === undefined ? {} : { name: name.trim() }),
        ...(description === undefined ? {} : { description }),
        ...(budget === undefined ? {} : { budgetMicro: microOf(budget) }),
        ...(perMinute === undefined ? {} : { requestsPerMinute: perMinute })
      }
      const { userId } = identityOf(request)
      const record = app.recordKeysOf(request)
      return app.showKey(await app.apiKeys.update(userId, request.params.key_id, change, record))
    }
  )

  app.post(
    '/api-keys/:key_id/rotate',
    {
      config,
      schema: {
        ...common,
        operationId: 'keys.rotate',
        summary: 'Replace the secret of an API key; the reply shows the new key',
        params: Params,
        body: Rotation,
        response: responses(NewApiKeyBody, 400, 401, 403, 404, 409, 413, 415, 422, 503)
      }
    },
    async function rotateKey(request) {
      const { userId } = identityOf(request)
      const hours = request.body?.overlap_hours ?? DEFAULT_OVERLAP_HOURS
      const overlapUntil = app.clock.now() + hours * HOUR_MS
      const record = app.recordKeysOf(request)
      const made = await app.apiKeys.rotate(userId, request.params.key_id, overlapUntil, record)
      return { ...(await app.showKey(made.row)), api_key: made.text }
    }
  )

  app.delete(
    '/api-keys/:key_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'keys.revoke',
        summary: 'Revoke an API key, at once and for ever',
        params: Params,
        response: responses(ApiKeyBody, 401, 403, 404, 503)
      }
    },
    async function revokeKey(request) {
      const { userId } = identityOf(request)
      return app.showKey(await app.apiKeys.revoke(userId, request.params.key_id, app.recordKeysOf(request)))
    }
  )
} satisfies FastifyPluginAsyncTypebox)

/** What a key is confined to, its owner may use now. @throws validation_error */
async function requireGrants({ permissions }: FastifyInstance, userId: string, chatflowIds: string[]): Promise<void> {
  for (const [index, chatflowId] of chatflowIds.entries())
    await permissions.require({ userId, isAdmin: false }, chatflowId).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.kind === 'unavailable') throw error
      throw invalid(['body', 'chatflow_ids', String(index)], 'must be a chatflow that is assigned to you')
    })
}

/** @throws validation_error */
function microOf(credits: number | null | undefined): number | null {
  if (credits === null || credits === undefined) return null
  try {
    return toMicro(credits)
  } catch {
    throw invalid(['body', 'credit_budget'], 'must have at most six decimals')
  }
}
