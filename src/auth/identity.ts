import { AppError } from '../errors.ts'
import type { Role } from '../store/collections.ts'
import type { KeyIdentities } from './key-identity.ts'
import { isKeyText } from './key-text.ts'
import type { Sessions } from './sessions.ts'
import type { AccessToken } from './tokens.ts'
import { currentRole } from './user-roles.ts'
import type { Users } from './users.ts'

/** What a key may be used for: `embed` is the part of `chat` that an embed token opens, Flowise's own surface. */
export type Scope = 'embed' | 'chat' | 'read'

/** What an identity is confined to that came by an API key or an embed token. */
export interface KeyLimits {
  readonly keyId: string
  readonly kind: 'api_key' | 'embed_token'
  readonly scopes: readonly Scope[]
  /** Null: whatever its owner may use. */
  readonly chatflowIds: readonly string[] | null
  /** Name of the key's budget in the limits of its owner's account; null: none. */
  readonly budget: string | null
  readonly requestsPerMinute: number | null
  /** Whose chats these are; null: the owner's. */
  readonly visitorId: string | null
  /** Origins of the pages that may use it, lower case; empty: every page. */
  readonly origins: readonly string[]
}

/** Who is asking. */
export interface Identity {
  readonly userId: string
  readonly username: string | null
  readonly email: string | null
  readonly role: Role
  readonly isAdmin: boolean
  /** Login session behind the token; null for a token minted elsewhere. */
  readonly sid: string | null
  readonly token: AccessToken
  /** The token of a login as it was sent, for services that know its user; never for a log. Empty for keys. */
  readonly bearer: string
  /** Null for a token of a login. */
  readonly key: KeyLimits | null
}

/** @throws (may also reject with) token_expired, invalid_token, auth_unavailable */
export type VerifyToken = (token: string) => AccessToken | Promise<AccessToken>

/** What a request shows of who is asking. */
export interface Shown {
  authorization: string | undefined
  /** The header X-API-Key. */
  apiKey: string | undefined
  /** Of the path; it counts alone. */
  embedToken: string | undefined
}

/** Finds out who is asking, reading user, key and session anew each time; refuses by a rejection or at once. */
export type Authenticator = (shown: Shown) => Promise<Identity>

/** Bearer tokens of section 2.1 of RFC 6750; the scheme in any case, as RFC 9110 wants it. */
const BEARER = /^bearer(?: +(.*))?$/i

/**
 * @throws (the function it makes) not_authenticated, invalid_token, token_expired, token_revoked, user_disabled,
 * auth_unavailable, bad_request
 */
export function createAuthenticator(
  verify: VerifyToken,
  { users, sessions, keys }: { users: Users; sessions: Sessions; keys: KeyIdentities }
): Authenticator {
  async function ofLogin(bearer: string): Promise<Identity> {
    const verified = verify(bearer)
    // Nothing is waited for where the signature is known already.
    const token = verified instanceof Promise ? await verified : verified
    // Both at once: each may be a way to another machine.
    const [user, session] = await Promise.all([users.seen(token), sessions.find(token)])
    if (!user.isActive || user.deletedAt !== undefined) throw new AppError('user_disabled')
    const standing = sessions.check(token, user, session)
    const { sid, isRevoked } = standing instanceof Promise ? await standing : standing
    if (isRevoked) throw new AppError('token_revoked')
    const role = currentRole(user, token)
    const { id: userId, username, email = null } = user
    return { userId, username, email, role, isAdmin: role === 'admin', sid, token, bearer, key: null }
  }

  return function authenticate({ authorization, apiKey, embedToken }) {
    if (embedToken !== undefined) return keys.ofEmbedToken(embedToken)
    const bearer = BEARER.exec(authorization ?? '')?.[1]?.trim()
    if (apiKey !== undefined && bearer && bearer !== apiKey)
      throw new AppError('bad_request', { detail: 'Authorization and X-API-Key differ: send one of them.' })
    if (apiKey !== undefined) return keys.ofKey(apiKey)
    if (!bearer) throw new AppError('not_authenticated')
    return isKeyText(bearer) ? keys.ofKey(bearer) : ofLogin(bearer)
  }
}

/**
 * The identity of a request behind authenticate.
 * @throws not_authenticated on a route without that hook
 */
export function identityOf(request: { identity: Identity | null }): Identity {
  if (!request.identity) throw new AppError('not_authenticated')
  return request.identity
}

/** Whose chats the caller's are: the user's, or those of one visitor. */
export function chatOwnerOf({ userId, key }: Identity): { userId: string; visitorId: string | null } {
  return { userId, visitorId: key?.visitorId ?? null }
}
