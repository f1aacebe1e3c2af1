import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problems, Type } from '../../../src/schema.ts'

/** For operators: what is between the gateway and its clients must let events through one by one. */
export default (async function testStream(app) {
  app.get(
    '/test-stream',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'service.test-stream',
        summary: 'Five events 200 ms apart, to measure what proxies do to streams; ten per minute and address',
        tags: ['service'],
        response: {
          200: {
            description: 'server-sent events: tick, five times, and end',
            content: { 'text/event-stream': { schema: Type.Unsafe<Readable>(Type.String()) } }
          },
          ...problems(429, 503)
        }
      }
    },
    (request, reply) => app.openTestStream(request, reply)
  )
} satisfies FastifyPluginAsyncTypebox)
