import type { Clock } from '../clock.ts'
import { type Ids, sha256Hex } from '../ids.ts'
import type { RefreshTokenRow, RevokedTokenRow, TokenFamilyRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import type { IssuedPair } from './external-calls.ts'
import { membersOf } from './http-call.ts'
import type { Sealer } from './sealed.ts'
import { AFTERLIFE_MS } from './sessions.ts'
import type { AccessToken } from './token-claims.ts'

/** A pair of the auth service whose access token has been verified. */
export interface VerifiedPair extends IssuedPair {
  token: AccessToken
}

/**
 * The token pairs of the auth service, remembered by SHA-256 with their session. Its tokens have no id: two that are
 * issued to a user within one second are equal, so a new pair may be one that was revoked, or belong to another session.
 */
export interface IssuedPairs {
  /** Begins a session with the pair, or joins the open one that has just this pair. False if it cannot be used. */
  begin(pair: VerifiedPair): Promise<boolean>
  /** Goes on with a session; the token that was exchanged is spent. */
  go(pair: VerifiedPair, session: { familyId: string; spent: string }): Promise<'kept' | 'unusable' | 'ended'>
  /** Marks a refresh token that was exchanged, though it was not handed out here, as one of the session of this pair. */
  spend(refreshToken: string, pair: VerifiedPair): Promise<void>
  /** What is known of a refresh token; undefined when it was not handed out here. */
  find(refreshToken: string): Promise<IssuedSession | undefined>
}

export interface IssuedSession {
  family: TokenFamilyRow
  row: RefreshTokenRow
}

/** When the refresh token says that it ends (epoch ms, unverified); undefined when it says nothing that can be read. */
export function refreshEndOf(refreshToken: string): number | undefined {
  const { exp } = membersOf(Buffer.from(refreshToken.split('.')[1] ?? '', 'base64url').toString()) ?? {}
  return typeof exp === 'number' && Number.isSafeInteger(exp) && exp > 0 ? exp * 1000 : undefined
}

export interface IssuedPairOptions {
  store: Store
  sealer: Sealer
  /** Life of a refresh token that does not say when it ends; one that does is not kept for more than the tenfold. */
  refreshTtlMs: number
  clock: Clock
  ids: Ids
}

/** Over the collections of the login sessions. */
export function createIssuedPairs({ store, sealer, refreshTtlMs, clock, ids }: IssuedPairOptions): IssuedPairs {
  const families = store.collection<TokenFamilyRow>('token_families')
  const issued = store.collection<RefreshTokenRow>('refresh_tokens')
  const revoked = store.collection<RevokedTokenRow>('revoked_tokens')
  const open = { exists: { revokedAt: false } }

  function refreshRow(refreshToken: string, familyId: string, userId: string): RefreshTokenRow {
    const createdAt = clock.now()
    const expiresAt = Math.min(refreshEndOf(refreshToken) ?? createdAt + refreshTtlMs, createdAt + 10 * refreshTtlMs)
    return { id: sha256Hex(refreshToken), familyId, userId, createdAt, expiresAt }
  }

  /** Writes both rows, or none: false when one of the tokens is known already, other than as this session's. */
  async function claim({ refreshToken, token }: VerifiedPair, familyId: string): Promise<RefreshTokenRow | undefined> {
    if ((await revoked.get(token.hash)) !== undefined) return undefined
    const row = refreshRow(refreshToken, familyId, token.userId)
    if (!(await issued.insert(row))) return undefined
    const { userId, expiresAt, hash: id } = token
    const access: RefreshTokenRow = { id, familyId, userId, createdAt: row.createdAt, expiresAt, isAccess: true }
    if ((await issued.insert(access)) || (await issued.get(id))?.familyId === familyId) return row
    await issued.remove(row.id, { equal: { familyId } })
    return undefined
  }

  const familyEnd = (row: RefreshTokenRow, { token }: VerifiedPair) =>
    Math.max(row.expiresAt, token.expiresAt) + AFTERLIFE_MS

  /** True for the very pair of an open session: another login of the same second. */
  async function isShared({ refreshToken, token }: VerifiedPair): Promise<boolean> {
    const [row, access] = await Promise.all([issued.get(sha256Hex(refreshToken)), issued.get(token.hash)])
    if (!row || row.rotatedAt !== undefined || row.familyId !== access?.familyId) return false
    return (await families.get(row.familyId))?.revokedAt === undefined
  }

  return {
    async begin(pair) {
      const { userId } = pair.token
      const id = ids.uuid()
      const row = await claim(pair, id)
      if (!row) return isShared(pair)
      const sealedToken = sealer.seal(pair.refreshToken, id)
      const expiresAt = familyEnd(row, pair)
      return families.insert({ id, userId, createdAt: clock.now(), expiresAt, sealedToken })
    },
    async go(pair, { familyId, spent }) {
      const row = await claim(pair, familyId)
      if (!row) return 'unusable'
      const sealedToken = sealer.seal(pair.refreshToken, familyId)
      const change = { set: { sealedToken }, max: { expiresAt: familyEnd(row, pair) } }
      if (!(await families.update(familyId, open, change))) return 'ended'
      await issued.update(sha256Hex(spent), { exists: { rotatedAt: false } }, { set: { rotatedAt: clock.now() } })
      return 'kept'
    },
    async spend(refreshToken, { token, refreshToken: next }) {
      const familyId = (await issued.get(sha256Hex(next)))?.familyId
      if (familyId === undefined) return
      await issued.insert({ ...refreshRow(refreshToken, familyId, token.userId), rotatedAt: clock.now() })
    },
    async find(refreshToken) {
      const row = await issued.get(sha256Hex(refreshToken))
      const family = row && !row.isAccess ? await families.get(row.familyId) : undefined
      return row && family ? { family, row } : undefined
    }
  }
}
