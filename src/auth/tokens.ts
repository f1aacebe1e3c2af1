import { createSigner, createVerifier } from 'fast-jwt'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { type Ids, sha256Hex } from '../ids.ts'
import type { Role } from '../store/collections.ts'
import type { UserClaims } from './users.ts'
import { isEmail, isPlainText, normalEmail, roleOf } from './user-names.ts'

/** What a verified access token says. */
export interface AccessToken extends UserClaims {
  /** Login session (token family); null for tokens minted elsewhere. */
  sid: string | null
  issuedAt: number
  expiresAt: number
  /** Names the token in the list of revoked ones. */
  hash: string
}

export interface Tokens {
  /** Life of the tokens signed here, in whole seconds. */
  readonly accessTtlSeconds: number
  sign(user: { id: string; username: string | null; email?: string; role: Role }, sid: string): string
  /** @throws token_expired, invalid_token */
  verify(token: string): AccessToken
}

export interface TokenOptions {
  secret: string
  algorithm: 'HS256' | 'HS384' | 'HS512'
  accessTtlMs: number
  clock: Clock
  ids: Ids
  /** Verified tokens that are remembered, so that a signature is computed once per token and not per request. */
  cacheSize?: number
}

const LEEWAY_MS = 30_000
const MAX_TOKEN_LENGTH = 8192
const LAST_INSTANT = 8_640_000_000_000_000

interface Verified {
  token: AccessToken
  notBeforeAt: number
}

/** Signs and verifies access tokens (JWT, RFC 7519) with one secret and exactly one algorithm. */
export function createTokens({ secret, algorithm, accessTtlMs, clock, ids, cacheSize = 10_000 }: TokenOptions): Tokens {
  const accessTtlSeconds = Math.max(1, Math.floor(accessTtlMs / 1000))
  const signPayload = createSigner({ key: secret, algorithm })
  // Times are checked here, on our clock, at every use: a cached token must still expire.
  const verifyPayload = createVerifier({
    key: secret,
    algorithms: [algorithm],
    ignoreExpiration: true,
    ignoreNotBefore: true
  })
  const verified = new Map<string, Verified>()

  function read(token: string): Verified {
    if (token.length > MAX_TOKEN_LENGTH) throw new AppError('invalid_token')
    let claims: Record<string, unknown>
    try {
      claims = verifyPayload(token)
    } catch (cause) {
      throw new AppError('invalid_token', {}, { cause })
    }
    return readClaims(claims, token)
  }

  function remember(token: string, entry: Verified): void {
    const oldest = verified.size >= cacheSize ? verified.keys().next().value : undefined
    if (oldest !== undefined) verified.delete(oldest)
    verified.set(token, entry)
  }

  return {
    accessTtlSeconds,
    sign({ id, username, email, role }, sid) {
      const iat = Math.floor(clock.now() / 1000)
      const subject = { sub: id, user_id: id, username, email: email ?? null, role }
      return signPayload({ ...subject, type: 'access', sid, jti: ids.uuid(), iat, exp: iat + accessTtlSeconds })
    },
    verify(token) {
      const known = verified.get(token)
      const entry = known ?? read(token)
      const now = clock.now()
      if (now >= entry.token.expiresAt + LEEWAY_MS) {
        verified.delete(token)
        throw new AppError('token_expired')
      }
      if (now < entry.notBeforeAt - LEEWAY_MS) throw new AppError('invalid_token')
      if (!known) remember(token, entry)
      return entry.token
    }
  }
}

/** @throws invalid_token */
function readClaims(claims: Record<string, unknown>, token: string): Verified {
  const { exp, nbf, iat, sid, type, username, email } = claims
  const userId = claims.sub ?? claims.user_id
  if (!isPlainText(userId) || !isTime(exp)) throw new AppError('invalid_token')
  if (type !== undefined && type !== 'access') throw new AppError('invalid_token')
  if (nbf !== undefined && !isTime(nbf)) throw new AppError('invalid_token')
  const address = typeof email === 'string' ? normalEmail(email) : ''
  return {
    notBeforeAt: nbf === undefined ? 0 : instant(nbf),
    token: {
      userId,
      username: isPlainText(username) ? username : null,
      email: isEmail(address) ? address : null,
      role: roleOf(claims.role),
      sid: isPlainText(sid) ? sid : null,
      // Without `iat` a token is older than any revocation.
      issuedAt: isTime(iat) ? instant(iat) : 0,
      expiresAt: instant(exp),
      // Only what is signed: the last character of a signature can be written in several ways.
      hash: sha256Hex(token.slice(0, token.lastIndexOf('.')))
    }
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function instant(seconds: number): number {
  return Math.max(0, Math.min(LAST_INSTANT, Math.floor(seconds * 1000)))
}
