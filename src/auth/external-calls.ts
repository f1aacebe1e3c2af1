import { AppError, invalid } from '../errors.ts'
import { type ExternalUser, readExternalUser } from './external-user.ts'
import type { ServiceLimit } from './external-limit.ts'
import { type HttpCaller, type HttpReply, membersOf, unavailable } from './http-call.ts'

/** A token pair as the service hands it out; not verified yet. */
export interface IssuedPair {
  accessToken: string
  refreshToken: string
}

/**
 * The calls to the external auth service. Each may throw auth_unavailable (5xx, silence, no connection, an answer that
 * cannot be read) and, where its limiter counts, login_rate_limited.
 */
export interface AuthService {
  /** The user is undefined when the reply says nothing about one. @throws validation_error, invalid_credentials, email_not_verified */
  login(username: string, password: string): Promise<IssuedPair & { user: ExternalUser | undefined }>
  /** The old token is spent. @throws invalid_refresh_token */
  refresh(refreshToken: string): Promise<IssuedPair>
  /** Resolves when the service has answered, whatever it said: it forgets unknown tokens too. */
  logout(refreshToken: string): Promise<void>
  /** False if the service does not accept this token any more. */
  logoutAll(accessToken: string): Promise<boolean>
  /** Undefined when the user is gone. */
  profile(accessToken: string): Promise<ExternalUser | undefined>
  /** Undefined when there is none. @throws invalid_token, role_required */
  userByEmail(email: string, bearer: string): Promise<ExternalUser | undefined>
  /** Undefined when there is none. @throws invalid_token, role_required */
  userById(id: string, bearer: string): Promise<ExternalUser | undefined>
  /** Resolves when the service is there. */
  ping(): Promise<void>
}

export interface AuthServiceOptions {
  /** Without `/api`. */
  baseUrl: string
  timeoutMs: number
  http: HttpCaller
  limit: ServiceLimit
}

const MAX_BYTES = 65_536
const MAX_TOKEN_LENGTH = 4096
/** For calls that somebody waits for without needing them. */
const SHORT_MS = 3_000
const NOT_VERIFIED = 'email not verified'

/** The external auth service, over its wire contract. */
export function createAuthService({ baseUrl, timeoutMs, http, limit }: AuthServiceOptions): AuthService {
  const url = (path: string) => `${baseUrl}/api${path}`
  const short = { timeoutMs: Math.min(timeoutMs, SHORT_MS), maxBytes: MAX_BYTES }

  /** A call that the service's limiter counts; none is sent while it is known to refuse. */
  async function counted(path: string, body: Record<string, unknown>, bearer?: string): Promise<HttpReply> {
    limit.check()
    const address = { method: 'POST', url: url(`/auth/${path}`), ...(bearer === undefined ? {} : { bearer }) } as const
    const reply = await http.call({ ...address, body, timeoutMs, maxBytes: MAX_BYTES })
    if (reply.status === 429) throw limit.reached(reply)
    return reply
  }

  async function lookUp(path: string, bearer: string): Promise<ExternalUser | undefined> {
    const reply = await http.call({ method: 'GET', url: url(path), bearer, timeoutMs, maxBytes: MAX_BYTES })
    const { status } = reply
    if (status === 200) return userIn(reply)
    // 400: an id or an address of a form that none of its users has.
    if (status === 404 || status === 400) return undefined
    if (status === 401) throw new AppError('invalid_token', { detail: 'The auth service does not accept this token.' })
    if (status === 403) throw new AppError('role_required')
    throw unusable(status)
  }

  return {
    async login(username, password) {
      const reply = await counted('login', { username, password })
      if (reply.status === 200) return { ...pairIn(reply), user: userIfAny(reply) }
      if (reply.status === 400) throw invalid(['body', 'username'], 'or password has a form that is not accepted')
      if (reply.status !== 401) throw unusable(reply.status)
      throw new AppError(errorIn(reply) === NOT_VERIFIED ? 'email_not_verified' : 'invalid_credentials')
    },
    async refresh(refreshToken) {
      const reply = await counted('refresh', { refreshToken })
      if (reply.status === 200) return pairIn(reply)
      if (reply.status === 400 || reply.status === 401) throw new AppError('invalid_refresh_token')
      throw unusable(reply.status)
    },
    async logout(refreshToken) {
      const { status } = await counted('logout', { refreshToken })
      if (status >= 500) throw unusable(status)
    },
    async logoutAll(accessToken) {
      const { status } = await counted('logout-all', {}, accessToken)
      if (status >= 500) throw unusable(status)
      return status === 200
    },
    async profile(bearer) {
      const reply = await http.call({ method: 'GET', url: url('/profile'), bearer, ...short })
      if (reply.status === 404) return undefined
      if (reply.status !== 200) throw unusable(reply.status)
      return userIn(reply)
    },
    userByEmail: (email, bearer) => lookUp(`/admin/users/by-email/${encodeURIComponent(email)}`, bearer),
    userById: (id, bearer) => lookUp(`/admin/users/${encodeURIComponent(id)}`, bearer),
    async ping() {
      // Without a token: the refusal proves that somebody is there, and this path is not limited.
      const { status } = await http.call({ method: 'GET', url: url('/profile'), ...short })
      if (status >= 500) throw unusable(status)
    }
  }
}

function pairIn(reply: HttpReply): IssuedPair {
  const { accessToken, refreshToken } = membersOf(reply.text) ?? {}
  if (isToken(accessToken) && isToken(refreshToken)) return { accessToken, refreshToken }
  throw unavailable(new Error('the answer of the auth service holds no tokens'))
}

function userIfAny(reply: HttpReply): ExternalUser | undefined {
  return readExternalUser(membersOf(reply.text)?.user)
}

function userIn(reply: HttpReply): ExternalUser {
  const user = userIfAny(reply)
  if (user === undefined) throw unavailable(new Error('the answer of the auth service holds no user'))
  return user
}

function errorIn(reply: HttpReply): string | undefined {
  const text = membersOf(reply.text)?.error
  return typeof text === 'string' ? text.trim().toLowerCase() : undefined
}

/** Visible ASCII, so that it can be a header. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TOKEN_LENGTH && /^[\x21-\x7e]+$/.test(value)
}

/** Neither text nor address of the service: the log is no place for what it may quote. */
function unusable(status: number): AppError {
  return unavailable(new Error(`the auth service answered with status ${status}`))
}
