import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../src/auth/identity.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { Type } from '../../../src/schema.ts'
import { version } from '../../../src/version.ts'

/** How clients made for Flowise find out whether it is there, and which one. */
export default (async function ping(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.get(
    '/ping',
    {
      config: { access: 'public', scope: 'embed' },
      schema: {
        tags: ['flowise'],
        operationId: 'flowise.ping',
        summary: 'Whether somebody is here',
        response: {
          200: {
            description: 'the word pong',
            content: { 'text/plain': { schema: Type.Literal('pong') } }
          }
        }
      }
    },
    async function pong(_request, reply) {
      reply.type('text/plain; charset=utf-8')
      return 'pong' as const
    }
  )

  app.get(
    '/version',
    {
      config: { access: 'user', scope: 'embed' },
      schema: {
        tags: ['flowise'],
        security: [{ bearer: [] }],
        operationId: 'flowise.version',
        summary: "Flowise's version; visitors of somebody's page are told the gateway's",
        response: {
          200: Type.Object({ version: Type.String({ examples: ['3.1.4'] }) }),
          ...flowiseErrors(401, 403, 429, 502, 503)
        }
      }
    },
    async function getVersion(request) {
      const isStranger = identityOf(request).key?.kind === 'embed_token'
      return { version: (isStranger ? undefined : await app.flowise.version()) ?? version }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
