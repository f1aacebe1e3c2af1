import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { networkOf } from '../src/auth/client-network.ts'
import { chatOwnerOf, identityOf } from '../src/auth/identity.ts'
import { AppError } from '../src/errors.ts'
import { sha256Hex } from '../src/ids.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a call of this kind, by user, visitor and network. @throws rate_limited */
    limitCalls(request: FastifyRequest, kind: string, perMinute: number): Promise<void>
  }
}

const MINUTE_MS = 60_000

/** Limits on what costs no credits. Pages without visitors share a user, so the network counts too. */
export default fp(
  async function callLimits(app: FastifyInstance) {
    const isOff = app.config.limits.predictionsPerMinute === 0
    app.decorate('limitCalls', async function limitCalls(request: FastifyRequest, kind: string, perMinute: number) {
      if (isOff) return
      const { userId, visitorId } = chatOwnerOf(identityOf(request))
      const who = sha256Hex(JSON.stringify([userId, visitorId, networkOf(request.ip)])).slice(0, 32)
      const { value, resetMs } = await app.bus.count(`calls:${kind}:${who}`, MINUTE_MS)
      if (value <= perMinute) return
      const detail = 'Too many requests in the last minute.'
      throw new AppError('rate_limited', { detail, retryAfterSeconds: resetMs / 1000 })
    })
  },
  { name: 'call-limits', dependencies: ['configuration', 'bus', 'auth'] }
)
