import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AppError } from '../../../src/errors.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { Type } from '../../../src/schema.ts'

/** Pictures may have scripts in them: wherever one is opened, nothing of it runs and nothing is fetched. */
const PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
const HOUR_SECONDS = 3600
/** A long answer shows a few dozens. */
const PER_MINUTE = 240

/** Pictures of Flowise's nodes, which its widget shows beside the steps of an answer. */
export default (async function nodeIcon(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.get(
    '/node-icon/:name',
    {
      config: { access: 'user', scope: 'embed' },
      schema: {
        tags: ['flowise'],
        security: [{ bearer: [] }],
        operationId: 'flowise.icon',
        summary: "The picture of one of Flowise's nodes",
        params: Type.Object({ name: Type.String({ pattern: '^[A-Za-z0-9_-]{1,100}$', examples: ['chatOpenAI'] }) }),
        response: {
          200: {
            description: 'the picture, as an SVG, PNG, JPEG or GIF file',
            content: { 'image/svg+xml': { schema: Type.Unsafe<Buffer>(Type.String()) } }
          },
          ...flowiseErrors(401, 403, 404, 429, 502, 503)
        }
      }
    },
    async function getIcon(request, reply) {
      await app.limitCalls(request, 'icons', PER_MINUTE)
      const icon = await app.flowise.nodeIcon(request.params.name)
      if (icon === undefined) throw new AppError('not_found')
      reply.headers({
        'content-type': icon.mime,
        'content-security-policy': PICTURE_POLICY,
        'cache-control': `private, max-age=${HOUR_SECONDS}`
      })
      return icon.bytes
    }
  )
} satisfies FastifyPluginAsyncTypebox)
