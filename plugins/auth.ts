import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { createDirectory, type UserDirectory } from '../src/auth/external-directory.ts'
import { createServiceLimit } from '../src/auth/external-limit.ts'
import { createExternalLogins } from '../src/auth/external-logins.ts'
import { createLogouts } from '../src/auth/external-logout.ts'
import { createAuthService } from '../src/auth/external-calls.ts'
import { createExternalUsers } from '../src/auth/external-users.ts'
import { createHttpCaller, type HttpCaller } from '../src/auth/http-call.ts'
import { embedTokenOf } from '../src/auth/embed-path.ts'
import { createAuthenticator, type Identity, type VerifyToken } from '../src/auth/identity.ts'
import { createIssuedPairs } from '../src/auth/issued-pairs.ts'
import { createForeignTokens } from '../src/auth/jwks.ts'
import { createKeyCache } from '../src/auth/jwks-cache.ts'
import { fetchKeySet } from '../src/auth/jwks-keys.ts'
import { createKeyIdentities } from '../src/auth/key-identity.ts'
import { createKeyRing } from '../src/auth/key-ring.ts'
import { createLocalLogins, type Logins } from '../src/auth/logins.ts'
import { requireOrigin } from '../src/auth/origins.ts'
import { createSealer } from '../src/auth/sealed.ts'
import { createSessions, type Sessions } from '../src/auth/sessions.ts'
import { createTokens, type Tokens } from '../src/auth/tokens.ts'
import type { JwksConfig } from '../src/config/auth.ts'
import { AppError } from '../src/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    tokens: Tokens
    loginSessions: Sessions
    logins: Logins
    /** How administrators find users. */
    directory: UserDirectory
    /** Resolves when the auth service is there; undefined where there is none. */
    pingAuthService: (() => Promise<void>) | undefined
    /** onRequest hook: sets request.identity. */
    authenticate(request: FastifyRequest): Promise<void>
    /** onRequest hook behind authenticate. */
    requireAdmin: onRequestHookHandler
  }
  interface FastifyRequest {
    /** Written by authenticate alone; null on public routes. */
    identity: Identity | null
  }
}

const PURGE_INTERVAL_MS = 3_600_000
/** How often the logouts are looked for of which the auth service has not heard; those of this process come by themselves. */
const LOGOUT_INTERVAL_MS = 300_000
const JOIN_MS = 50
const MAX_KEY_SET_BYTES = 262_144

interface Door {
  tokens: Tokens
  sessions: Sessions
  logins: Logins
  directory: UserDirectory
  ping?: () => Promise<void>
}

/** Who is asking, and whether that is an administrator. */
export default fp(
  async function auth(app: FastifyInstance) {
    const { store, clock, users, lifecycle } = app
    const { serviceUrl, jwks } = app.config.auth
    const http = createHttpCaller(app.clock)
    const { tokens, sessions, logins, directory, ping } =
      serviceUrl === undefined ? openLocal(app) : openExternal(app, serviceUrl, http)
    const keep = (work: Promise<unknown>) => void lifecycle.track(work).catch(() => undefined)
    const ring = createKeyRing({ store, clock, keep })
    const keys = createKeyIdentities({ ring, embedTokens: app.embedTokens, users, sessions, clock })
    const verify = jwks ? verifyBoth(app, tokens, { jwks, http }) : tokens.verify
    const identify = createAuthenticator(verify, { users, sessions, keys })
    app.decorate('tokens', tokens)
    app.decorate('loginSessions', sessions)
    app.decorate('logins', logins)
    app.decorate('directory', directory)
    app.decorate('pingAuthService', ping)
    app.decorateRequest('identity', null)
    app.decorate('authenticate', async function authenticate(request: FastifyRequest) {
      const { authorization, 'x-api-key': given } = request.headers
      // Sent twice, Node.js has made one text of them; it is no key in form.
      const apiKey = Array.isArray(given) ? given.join() : given
      const embedToken = embedTokenOf(request.raw)
      request.identity = await identify({ authorization, apiKey, embedToken })
      requireOrigin(request.identity.key, request)
    })
    app.decorate('requireAdmin', function requireAdmin({ identity }, _reply, done) {
      done(identity?.isAdmin ? undefined : new AppError('role_required'))
    })
    app.lifecycle.every(PURGE_INTERVAL_MS, 'purge of expired tokens', async function purgeTokens() {
      await app.takeTurn('token-purge', PURGE_INTERVAL_MS, () => sessions.purge())
    })
    app.addHook('onClose', async function closeHttp() {
      await http.close()
    })
  },
  { name: 'auth', dependencies: ['configuration', 'store', 'bus', 'users', 'lifecycle', 'embed-tokens'] }
)

function openLocal(app: FastifyInstance): Door {
  const { config, clock, ids, store, users } = app
  const { algorithm, accessTtlMs, refreshTtlMs } = config.jwt
  const secret = app.parts.jwtSecret
  const tokens = createTokens({ secret, algorithm, accessTtlMs, clock, ids })
  const sessions = createSessions({ store, tokens, users, refreshTtlMs, clock, ids, secret, joinMs: JOIN_MS })
  const logins = createLocalLogins(app.credentials, sessions)
  return { tokens, sessions, logins, directory: createDirectory({ users, external: undefined, clock }) }
}

function openExternal(app: FastifyInstance, baseUrl: string, http: HttpCaller): Door {
  const { config, clock, ids, store, users, bus } = app
  const { accessTtlMs, refreshTtlMs } = config.jwt
  const secret = config.auth.accessSecret ?? app.parts.jwtSecret
  const keep = (work: Promise<unknown>) => void app.lifecycle.track(work).catch(() => undefined)
  const limit = createServiceLimit(clock, bus)
  const service = createAuthService({ baseUrl, timeoutMs: config.auth.timeoutMs, http, limit })
  const sealer = createSealer(app.parts.jwtSecret, 'refresh tokens of the auth service')
  const tokens = createTokens({ secret, algorithm: 'HS256', accessTtlMs, clock, ids })
  const logouts = createLogouts({ store, service, limit, sealer, clock, keep })
  const sessions = createSessions({ store, tokens, users, refreshTtlMs, clock, ids, secret, onEnded: logouts.remind })
  const externalUsers = createExternalUsers({ store, users, clock })
  const logins = createExternalLogins({
    service,
    tokens,
    users,
    externalUsers,
    sessions,
    clock,
    bus,
    joinMs: JOIN_MS,
    pairs: createIssuedPairs({ store, sealer, refreshTtlMs, clock, ids }),
    logOutEverywhere: (userId, bearer) => keep(logouts.sendAll(userId, bearer)),
    giveBack: (refreshToken) => keep(service.logout(refreshToken).catch(() => undefined))
  })
  const resumeLogouts = async () => {
    await app.takeTurn('auth-logouts', LOGOUT_INTERVAL_MS, () => logouts.resume(LOGOUT_INTERVAL_MS))
  }
  app.lifecycle.every(LOGOUT_INTERVAL_MS, 'logouts at the auth service', resumeLogouts)
  app.addHook('onReady', async function resumeOldLogouts() {
    keep(resumeLogouts())
  })
  const directory = createDirectory({ users, external: { service, users: externalUsers }, clock })
  return { tokens, sessions, logins, directory, ping: () => service.ping() }
}

/** Tokens of the shared secret, and those of the issuer of a key set. */
function verifyBoth(
  app: FastifyInstance,
  tokens: Tokens,
  { jwks, http }: { jwks: JwksConfig; http: HttpCaller }
): VerifyToken {
  const { url, ...names } = jwks
  const timeoutMs = app.config.auth.timeoutMs
  const keys = createKeyCache({
    fetchKeys: () => fetchKeySet(http, { url, timeoutMs, maxBytes: MAX_KEY_SET_BYTES }),
    clock: app.clock,
    onError: (error) => app.log.warn({ err: error }, 'the key set of AUTH_JWKS_URL cannot be fetched')
  })
  const foreign = createForeignTokens({ keys, ...names, clock: app.clock })
  app.addHook('onReady', async function fetchFirstKeys() {
    void keys.prefetch()
  })
  return (token) => (foreign.isForeign(token) ? foreign.verify(token) : tokens.verify(token))
}
