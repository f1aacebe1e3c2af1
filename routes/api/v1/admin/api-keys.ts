import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ApiKeyBody } from '../../../../src/auth/key-view.ts'
import { Id, Members, PageQuery, PageReply, responses, Type } from '../../../../src/schema.ts'
import { decodeCursor, toPage } from '../../../../src/store/cursor.ts'

const KeyPage = Type.Object({ api_keys: Type.Array(ApiKeyBody), ...PageReply })

/** Everybody's API keys. */
export default (async function adminApiKeyRoutes(app) {
  const config = { access: 'admin' } as const
  const common = { tags: ['admin'], security: [{ bearer: [] }] }

  app.get(
    '/api-keys',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.keys.list',
        summary: 'API keys, newest first, of one user or of all',
        querystring: Members({ user_id: Type.Optional(Id), ...PageQuery }),
        response: responses(KeyPage, 401, 403, 422, 503)
      }
    },
    async function listAllKeys(request) {
      const { user_id: userId, limit = 50, cursor } = request.query
      const after = decodeCursor(cursor, 'number')
      const rows = await app.apiKeys.list(userId, { after, limit: limit + 1 })
      const { items, ...tail } = toPage(rows, limit, (row) => row.createdAt)
      return { api_keys: await app.showKeys(items), ...tail }
    }
  )

  app.delete(
    '/api-keys/:key_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.keys.revoke',
        summary: "Revoke anybody's API key, at once and for ever",
        params: Members({ key_id: Id }),
        response: responses(ApiKeyBody, 401, 403, 404, 503)
      }
    },
    async (request) => app.showKey(await app.apiKeys.revoke(null, request.params.key_id, app.recordKeysOf(request)))
  )
} satisfies FastifyPluginAsyncTypebox)
