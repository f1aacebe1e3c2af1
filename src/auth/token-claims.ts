import { AppError } from '../errors.ts'
import { sha256Hex } from '../ids.ts'
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
  /** True when another issuer signed it, with a key of its own; else it is signed with the shared secret. */
  isForeign?: true
}

/** A token whose signature was right; its times are checked at every use. */
export interface VerifiedToken {
  token: AccessToken
  notBeforeAt: number
}

export const MAX_TOKEN_LENGTH = 8192
const LEEWAY_MS = 30_000
const LAST_INSTANT = 8_640_000_000_000_000

/** The claims of a token whose signature was right. @throws invalid_token when one that is needed is missing or odd */
export function readClaims(claims: Record<string, unknown>, token: string): VerifiedToken {
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

/** Answers the token while its time is. @throws token_expired, invalid_token before its time */
export function inItsTime({ token, notBeforeAt }: VerifiedToken, now: number): AccessToken {
  if (now >= token.expiresAt + LEEWAY_MS) throw new AppError('token_expired')
  if (now < notBeforeAt - LEEWAY_MS) throw new AppError('invalid_token')
  return token
}

/** Remembers at most `maxEntries`; the oldest goes first. */
export function createTokenMemory<V>(maxEntries: number) {
  const entries = new Map<string, V>()
  return {
    get: (token: string) => entries.get(token),
    delete: (token: string) => entries.delete(token),
    set(token: string, entry: V): void {
      const oldest = entries.size >= maxEntries ? entries.keys().next().value : undefined
      if (oldest !== undefined) entries.delete(oldest)
      entries.set(token, entry)
    }
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function instant(seconds: number): number {
  return Math.max(0, Math.min(LAST_INSTANT, Math.floor(seconds * 1000)))
}
