import { createSigner, createVerifier } from 'fast-jwt'
import type { Clock } from '../clock.ts'
import { AppError, withoutStacks } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { Role } from '../store/collections.ts'
import {
  type AccessToken,
  createTokenMemory,
  inItsTime,
  MAX_TOKEN_LENGTH,
  readClaims,
  type VerifiedToken
} from './token-claims.ts'

export type { AccessToken } from './token-claims.ts'

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
  const verified = createTokenMemory<VerifiedToken>(cacheSize)

  function read(token: string): VerifiedToken {
    if (token.length > MAX_TOKEN_LENGTH) throw new AppError('invalid_token')
    let claims: Record<string, unknown>
    try {
      claims = withoutStacks(() => verifyPayload(token))
    } catch (cause) {
      throw new AppError('invalid_token', {}, { cause })
    }
    return readClaims(claims, token)
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
      const answer = inItsTime(entry, clock.now())
      if (!known) verified.set(token, entry)
      return answer
    }
  }
}
