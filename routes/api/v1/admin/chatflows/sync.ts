import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { StatsBody, SyncBody } from '../../../../../src/chatflows/schemas.ts'
import { isoInstant } from '../../../../../src/clock.ts'
import { Members, Nullable, responses, Type } from '../../../../../src/schema.ts'

const common = { tags: ['admin'], security: [{ bearer: [] }] }
const Confirm = Type.Boolean({ description: 'an empty list is right: mark every chatflow deleted' })

/** The catalogue and Flowise. */
export default (async function adminSync(app) {
  const config = { access: 'admin' } as const

  app.post(
    '/sync',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.chatflows.sync',
        summary: 'Read the chatflows of Flowise into the catalogue',
        querystring: Members({ confirm: Type.Optional(Confirm) }),
        body: Nullable(Members({ confirm: Type.Optional(Nullable(Confirm)) })),
        response: responses(SyncBody, 400, 401, 403, 409, 413, 415, 422, 502, 503)
      }
    },
    async function syncNow(request) {
      const confirm = request.query.confirm === true || request.body?.confirm === true
      const report = await app.chatflowSync.run({ confirm })
      const { created, updated, deleted, errors } = report
      const after = { created, updated, deleted, errors, confirm }
      await app.audit(request, { action: 'chatflow.sync', target: 'chatflows', before: null, after })
      return report
    }
  )

  app.get(
    '/stats',
    {
      config,
      schema: {
        ...common,
        operationId: 'admin.chatflows.stats',
        summary: 'Numbers of chatflows by state, and the time of the last sync',
        response: responses(StatsBody, 401, 403, 503)
      }
    },
    async function stats() {
      const [counts, lastAt] = await Promise.all([app.chatflows.stats(), app.chatflowSync.lastSyncAt()])
      return { ...counts, last_sync: lastAt === undefined ? null : isoInstant(lastAt) }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
