import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { UserRow } from '../store/collections.ts'
import type { ApiKeyRow } from '../store/key-rows.ts'
import type { EmbedClaims, EmbedTokens } from './embed-tokens.ts'
import type { Identity, KeyLimits } from './identity.ts'
import type { KeyRing } from './key-ring.ts'
import type { Sessions } from './sessions.ts'
import type { Users } from './users.ts'

export interface KeyIdentityParts {
  ring: KeyRing
  embedTokens: EmbedTokens
  users: Users
  sessions: Sessions
  clock: Clock
}

/** Who comes by a key or by the token of a page, and what they are confined to; never an administrator. */
export interface KeyIdentities {
  /** @throws invalid_token, token_revoked, token_expired, user_disabled */
  ofKey(text: string): Promise<Identity>
  /** @throws the same */
  ofEmbedToken(token: string): Promise<Identity>
}

/** The name of the budget of a key among the limits of its owner's account. */
export function budgetOf(keyId: string): string {
  return `key:${keyId}`
}

/** Identities of keys; user, key and login session are looked up each time. */
export function createKeyIdentities({ ring, embedTokens, users, sessions, clock }: KeyIdentityParts): KeyIdentities {
  async function owner(userId: string): Promise<UserRow> {
    const user = await users.recent(userId)
    if (!user?.isActive) throw new AppError('user_disabled', { detail: 'The owner of this key is disabled.' })
    return user
  }

  async function byLogin(userId: string, sid: string): Promise<UserRow> {
    const token = {
      sid,
      userId,
      hash: '',
      issuedAt: 0,
      expiresAt: 0,
      username: null,
      email: null,
      role: 'user'
    } as const
    const [user, session] = await Promise.all([owner(userId), sessions.find(token)])
    const checked = await sessions.check(token, user, session)
    if (checked.sid !== sid || checked.isRevoked)
      throw new AppError('token_revoked', { detail: 'The login that gave this page its access has ended.' })
    return user
  }

  return {
    async ofKey(text) {
      const { row, hash, endsAt: expiresAt } = await ring.open(text)
      const limits = { kind: 'api_key', scopes: row.scopes, chatflowIds: row.chatflowIds, visitorId: null } as const
      return identity(await owner(row.userId), { ...limits, ...shared(row), origins: [] }, { hash, expiresAt })
    },
    async ofEmbedToken(token) {
      const claims = embedTokens.read(token)
      if (!claims) throw new AppError('invalid_token', { detail: 'The access of this page is not valid.' })
      const { minter, expiresAt, visitorId, origins } = claims
      if (clock.now() >= expiresAt)
        throw new AppError('token_expired', { detail: 'The access of this page has expired. Reload the page.' })
      const own = { kind: 'embed_token', scopes: ['embed'], visitorId, origins } as const
      const signed = { hash: '', expiresAt }
      if (minter.kind === 'login') {
        const user = await byLogin(minter.userId, minter.sid)
        const limits = { keyId: 'login', budget: null, requestsPerMinute: null, chatflowIds: [claims.chatflowId] }
        return identity(user, { ...own, ...limits }, signed)
      }
      const row = await ring.minted(minter.keyId, minter.hashStart)
      return identity(
        await owner(row.userId),
        { ...own, ...shared(row), chatflowIds: chatflowsOf(row, claims) },
        signed
      )
    }
  }
}

function shared({ id, budgetMicro, requestsPerMinute }: ApiKeyRow) {
  return { keyId: id, budget: budgetMicro === null ? null : budgetOf(id), requestsPerMinute }
}

function chatflowsOf({ chatflowIds }: ApiKeyRow, { chatflowId }: EmbedClaims): string[] {
  return chatflowIds === null || chatflowIds.includes(chatflowId) ? [chatflowId] : []
}

function identity(user: UserRow, key: KeyLimits, signed: { hash: string; expiresAt: number }): Identity {
  const { id: userId, username, email = null } = user
  // Also for the services behind the gateway: nothing that is done with a key is done as an administrator.
  const role = user.role === 'admin' ? 'user' : user.role
  const token = { userId, username, email, role, sid: null, issuedAt: 0, ...signed }
  return { userId, username, email, role, isAdmin: false, sid: null, token, bearer: '', key }
}
