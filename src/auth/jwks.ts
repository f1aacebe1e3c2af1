import { createDecoder } from 'fast-jwt'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { sha256Hex } from '../ids.ts'
import type { Role } from '../store/collections.ts'
import { isMembers } from './http-call.ts'
import type { KeyCache } from './jwks-cache.ts'
import { isKeyAlgorithm, type VerifyingKey } from './jwks-keys.ts'
import {
  type AccessToken,
  createTokenMemory,
  inItsTime,
  MAX_TOKEN_LENGTH,
  readClaims,
  type VerifiedToken
} from './token-claims.ts'
import { roleOf } from './user-names.ts'

export interface ForeignTokenOptions {
  keys: KeyCache
  issuer: string
  audience: string
  /** Name of the claim, or its path with dots. */
  roleClaim: string
  clock: Clock
  /** Verified tokens that are remembered. */
  cacheSize?: number
}

/** Access tokens of another issuer, verified with its public keys. */
export interface ForeignTokens {
  /** Whether a token says that it is signed with a key pair; it may still be anything. */
  isForeign(token: string): boolean
  /** @throws token_expired, invalid_token, auth_unavailable */
  verify(token: string): Promise<AccessToken>
}

/**
 * Verifies foreign tokens. The algorithm of the header decides where the key comes from: a key of the set never
 * verifies an HS token, and the shared secret never any of these. Users are keyed by issuer and subject, so that none
 * of them is ever somebody else.
 */
export function createForeignTokens(options: ForeignTokenOptions): ForeignTokens {
  const { keys, issuer, audience, roleClaim, clock, cacheSize = 10_000 } = options
  const verified = createTokenMemory<{ key: VerifyingKey; entry: VerifiedToken }>(cacheSize)
  const decode = createDecoder({ complete: true })

  function headerOf(token: string): Record<string, unknown> {
    try {
      const decoded: unknown = token.length > MAX_TOKEN_LENGTH ? undefined : decode(token)
      if (isMembers(decoded) && isMembers(decoded.header)) return decoded.header
    } catch {
      // Said below: to whoever sent it all of this is one thing.
    }
    throw new AppError('invalid_token')
  }

  async function read(token: string): Promise<{ key: VerifyingKey; entry: VerifiedToken }> {
    const { alg: algorithm, kid } = headerOf(token)
    if (!isKeyAlgorithm(algorithm)) throw new AppError('invalid_token')
    const key = await keys.find({ kid: typeof kid === 'string' ? kid : undefined, algorithm })
    if (!key) throw new AppError('invalid_token')
    return { key, entry: readEntry(claimsOf(key, token), token) }
  }

  function readEntry(claims: Record<string, unknown>, token: string): VerifiedToken {
    const audiences: unknown[] = [claims.aud].flat()
    if (claims.iss !== issuer || !audiences.includes(audience)) throw new AppError('invalid_token')
    // Only `sub` is unique at an issuer (RFC 7519, section 4.1.2); other claims may be its users' to choose.
    if (typeof claims.sub !== 'string') throw new AppError('invalid_token')
    const { token: claimed, notBeforeAt } = readClaims(claims, token)
    const { userId: subject, email } = claimed
    return {
      notBeforeAt,
      token: {
        ...claimed,
        userId: `foreign-${sha256Hex(JSON.stringify([issuer, subject]))}`,
        externalId: subject,
        email: claims.email_verified === false ? null : email,
        role: roleIn(claims, roleClaim),
        // Login sessions are of tokens that were handed out here.
        sid: null,
        isForeign: true
      }
    }
  }

  return {
    isForeign(token) {
      if (verified.get(token)) return true
      const end = token.indexOf('.')
      if (end < 0 || end > MAX_TOKEN_LENGTH) return false
      try {
        const header: unknown = JSON.parse(Buffer.from(token.slice(0, end), 'base64url').toString())
        return isMembers(header) && isKeyAlgorithm(header.alg)
      } catch {
        return false
      }
    },
    async verify(token) {
      const known = verified.get(token)
      const current = known && keys.isCurrent(known.key) ? known : await read(token)
      const answer = inItsTime(current.entry, clock.now())
      if (current !== known) verified.set(token, current)
      return answer
    }
  }
}

function claimsOf(key: VerifyingKey, token: string): Record<string, unknown> {
  try {
    return key.verify(token)
  } catch (cause) {
    throw new AppError('invalid_token', {}, { cause })
  }
}

/** A claim is a word or a list of words, of which the highest counts. */
function roleIn(claims: Record<string, unknown>, name: string): Role {
  const roles = [claimAt(claims, name)].flat().map(roleOf)
  return roles.find((role) => role === 'admin') ?? roles.find((role) => role === 'premium') ?? 'user'
}

/** The whole name first: names of claims may be addresses, with dots in them. */
function claimAt(claims: Record<string, unknown>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) value = isMembers(value) && Object.hasOwn(value, part) ? value[part] : undefined
  return value
}
