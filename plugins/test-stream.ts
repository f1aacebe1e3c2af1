import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { createTestStream, type SeenCaller } from '../src/doctor/test-stream.ts'
import { AppError } from '../src/errors.ts'
import { SSE_HEADERS } from './answers.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The test stream for this caller, with the reply's headers set for it. @throws rate_limited, overloaded */
    openTestStream(request: FastifyRequest, reply: FastifyReply): Promise<Readable>
  }
}

const PER_MINUTE = 10
const AT_ONCE = 8

/** A stream without a login, as short and as rare as it can be and still tell what a proxy does to streams. */
export default fp(
  async function testStream(app: FastifyInstance) {
    let running = 0

    async function* counted(caller: SeenCaller): AsyncGenerator<string> {
      running++
      try {
        yield* createTestStream(app.clock, caller)
      } finally {
        running--
      }
    }

    app.decorate('openTestStream', async function openTestStream(request, reply) {
      const { value, resetMs } = await app.bus.count(`test-stream:${request.ip}`, 60_000)
      if (value > PER_MINUTE)
        throw new AppError('rate_limited', {
          detail: 'Too many test streams in the last minute.',
          retryAfterSeconds: resetMs / 1000
        })
      if (running >= AT_ONCE) throw new AppError('overloaded', { retryAfterSeconds: 5 })
      reply.headers(SSE_HEADERS)
      return Readable.from(counted(seenCaller(request)))
    })
  },
  { name: 'test-stream', dependencies: ['configuration', 'bus', 'answers'] }
)

function seenCaller({ ip, ips, headers }: FastifyRequest): SeenCaller {
  const forwarded = String(headers['x-forwarded-for'] ?? '').split(',')
  // The first of `ips` is the connection's own.
  return {
    address: ip,
    forwarded: forwarded.filter((part) => part.trim() !== '').length,
    believed: (ips?.length ?? 1) - 1
  }
}
