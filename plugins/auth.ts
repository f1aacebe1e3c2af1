import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { createAuthenticator, type Identity } from '../src/auth/identity.ts'
import { createSessions, type Sessions } from '../src/auth/sessions.ts'
import { createTokens, type Tokens } from '../src/auth/tokens.ts'
import { AppError } from '../src/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    tokens: Tokens
    loginSessions: Sessions
    /** onRequest hook: sets request.identity. */
    authenticate(request: FastifyRequest): Promise<void>
    /** onRequest hook behind authenticate. */
    requireAdmin(request: FastifyRequest): Promise<void>
  }
  interface FastifyRequest {
    /** Written by authenticate alone; null on public routes. */
    identity: Identity | null
  }
}

const PURGE_INTERVAL_MS = 3_600_000
const JOIN_MS = 50

/** Who is asking, and whether that is an administrator. */
export default fp(
  async function auth(app: FastifyInstance) {
    const { config, clock, ids, store, users } = app
    const { algorithm, accessTtlMs, refreshTtlMs } = config.jwt
    const tokens = createTokens({ secret: app.parts.jwtSecret, algorithm, accessTtlMs, clock, ids })
    const sessions = createSessions({ store, tokens, users, refreshTtlMs, clock, ids, joinMs: JOIN_MS })
    const identify = createAuthenticator(tokens, users, sessions)
    app.decorate('tokens', tokens)
    app.decorate('loginSessions', sessions)
    app.decorateRequest('identity', null)
    app.decorate('authenticate', async function authenticate(request: FastifyRequest) {
      request.identity = await identify(request.headers.authorization)
    })
    app.decorate('requireAdmin', async function requireAdmin(request: FastifyRequest) {
      if (!request.identity?.isAdmin) throw new AppError('role_required')
    })
    app.lifecycle.every(PURGE_INTERVAL_MS, 'purge of expired tokens', async function purgeTokens() {
      await app.takeTurn('token-purge', PURGE_INTERVAL_MS, () => sessions.purge())
    })
  },
  { name: 'auth', dependencies: ['configuration', 'store', 'bus', 'users', 'lifecycle'] }
)
