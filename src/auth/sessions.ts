import { createHmac } from 'node:crypto'
import { type Clock, pause } from '../clock.ts'
import { AppError } from '../errors.ts'
import { type Ids, sha256Hex } from '../ids.ts'
import type { RefreshTokenRow, RevokedTokenRow, TokenFamilyRow, UserRow } from '../store/collections.ts'
import type { Append, Store } from '../store/port.ts'
import type { AccessToken, Tokens } from './tokens.ts'
import type { Users } from './users.ts'

/** What a login or a refresh hands out. */
export interface TokenPair {
  accessToken: string
  refreshToken: string
  expiresInSeconds: number
  user: UserRow
  /** Whether the e-mail address is verified, where somebody knows. */
  isVerified?: boolean
}

/** The login sessions (token families): every token that came from one login lives and dies with it. */
export interface Sessions {
  /** A new login session. @throws user_disabled, invalid_credentials when the user changed since it was read */
  issue(user: UserRow): Promise<TokenPair>
  /**
   * Exchanges a refresh token, once. A second use ends the session: one of the two users of the token is a thief.
   * Identical calls that overlap in time share one exchange, also in two processes.
   * @throws invalid_refresh_token, user_disabled
   */
  rotate(refreshToken: string): Promise<TokenPair>
  /** Ends the session of the caller's refresh token, or of its SHA-256. Sessions ended. @throws token_not_found */
  revoke(tokenOrHash: string, userId: string): Promise<number>
  /** Ends the session behind an access token, or this one token when it belongs to none. Sessions ended. */
  revokeOwn(token: AccessToken): Promise<number>
  /** Ends every session of the token's user, and every token without one. Sessions ended. */
  revokeAll(token: AccessToken): Promise<number>
  /** Ends every session of the user. Sessions ended. */
  endAll(userId: string): Promise<number>
  /** Ends one session; false if it had ended already. */
  end(familyId: string): Promise<boolean>
  /** Removes the sessions of a user who is deleted. */
  removeAll(userId: string): Promise<void>
  /** The session a token names, whoever's it is: to be read beside the user. */
  find(token: AccessToken): Promise<TokenFamilyRow | undefined>
  /** The session that was found, if it is one of the user's; and whether the token is still good for it. */
  check(token: AccessToken, user: UserRow, found: TokenFamilyRow | undefined): Standing | Promise<Standing>
  /** Removes what no token refers to any more. Rows removed. */
  purge(): Promise<number>
}

/** What becomes of a token whose login session was looked for. */
export interface Standing {
  /** Null for a token that is of no login session. */
  sid: string | null
  isRevoked: boolean
}

export interface SessionOptions {
  store: Store
  tokens: Tokens
  users: Users
  refreshTtlMs: number
  clock: Clock
  ids: Ids
  /** Of all processes of the installation: what follows a refresh token is made with it. */
  secret: string
  /** Where an auth service has to hear of each session that ended here, and when (epoch ms). */
  onEnded?: (familyId: string, dueAt: number) => void
  /** How long a rotation stays open for identical ones that were sent with it and are read later. Default 0. */
  joinMs?: number
}

const SHA256_HEX = /^[0-9a-f]{64}$/
/** Rows outlive their tokens by this: the leeway of verification, and clocks that differ. */
export const AFTERLIFE_MS = 300_000
/** Of sessions that end together the service may hear in one call; only if it does not, it hears of each. */
const TOGETHER_MS = 60_000
/** Within this time an identical refresh in another process counts as sent together with the first. */
const TWIN_MS = 2000
const PAGE = 500

/** The login sessions over the collections `token_families`, `refresh_tokens` and `revoked_tokens`. */
export function createSessions(options: SessionOptions): Sessions {
  const { store, tokens, users, refreshTtlMs, clock, ids, secret, onEnded, joinMs = 0 } = options
  const families = store.collection<TokenFamilyRow>('token_families')
  const refreshTokens = store.collection<RefreshTokenRow>('refresh_tokens')
  const revokedTokens = store.collection<RevokedTokenRow>('revoked_tokens')
  const rotating = new Map<string, Promise<TokenPair>>()
  const thisProcess = ids.run()

  /** A family must outlive its last access token too: without the row a revoked one would look like a foreign one. */
  const familyEnd = (now: number) => now + Math.max(refreshTtlMs, tokens.accessTtlSeconds * 1000) + AFTERLIFE_MS

  function appendOf(refreshToken: string, familyId: string, userId: string): Append[] {
    const now = clock.now()
    const id = sha256Hex(refreshToken)
    const row: RefreshTokenRow = { id, familyId, userId, createdAt: now, expiresAt: now + refreshTtlMs }
    return [{ collection: 'refresh_tokens', document: row }]
  }

  /** The same in every process, so that identical refreshes get the same answer; unknown to whoever has the token only. */
  const successorOf = (refreshToken: string) =>
    createHmac('sha256', secret).update(`refresh:${refreshToken}`).digest('base64url')

  function pair(user: UserRow, sid: string, refreshToken: string): TokenPair {
    return { accessToken: tokens.sign(user, sid), refreshToken, expiresInSeconds: tokens.accessTtlSeconds, user }
  }

  async function end(familyId: string, endedTogether = false): Promise<boolean> {
    const now = clock.now()
    const dueAt = now + (endedTogether ? TOGETHER_MS : 0)
    // In the same write, so that the service hears of it also when this process dies.
    const set = { revokedAt: now, ...(onEnded ? { logoutAt: dueAt } : {}) }
    const isEnded = await families.update(familyId, { exists: { revokedAt: false } }, { set })
    if (isEnded) onEnded?.(familyId, dueAt)
    return isEnded
  }

  async function exchange(refreshToken: string, hash: string): Promise<TokenPair> {
    const row = await refreshTokens.get(hash)
    const family = row && (await families.get(row.familyId))
    const now = clock.now()
    // Of an auth service that was asked before: it may have ended the session since, and has not said so here.
    const isElsewhere = family?.sealedToken !== undefined
    if (!row || row.isAccess || !family || isElsewhere) throw new AppError('invalid_refresh_token')
    const successor = successorOf(refreshToken)
    if (row.rotatedAt !== undefined && !(await isTwin(row, successor))) return refuseReuse(family.id)
    const user = await users.findById(row.userId)
    if (!user || hasEnded(family, user) || now >= row.expiresAt) throw new AppError('invalid_refresh_token')
    if (!user.isActive) throw new AppError('user_disabled')
    if (row.rotatedAt !== undefined) return pair(user, family.id, successor)
    const expiresAt = familyEnd(now)
    const isOpen = await families.update(family.id, { exists: { revokedAt: false } }, { max: { expiresAt } })
    if (!isOpen) throw new AppError('invalid_refresh_token')
    const unused = { exists: { rotatedAt: false } }
    const rotation = { set: { rotatedAt: now, rotatedBy: thisProcess } }
    const append = appendOf(successor, family.id, user.id)
    const isOurs = await refreshTokens.update(hash, unused, rotation, append)
    if (isOurs || (await isTwin(await refreshTokens.get(hash), successor))) return pair(user, family.id, successor)
    return refuseReuse(family.id)
  }

  /** Two tabs behind a load balancer: what another process exchanged a moment ago, and nobody has used since. */
  async function isTwin(row: RefreshTokenRow | undefined, successor: string): Promise<boolean> {
    if (row?.rotatedAt === undefined || row.rotatedBy === thisProcess) return false
    if (clock.now() - row.rotatedAt >= TWIN_MS) return false
    const next = await refreshTokens.get(sha256Hex(successor))
    return next !== undefined && next.rotatedAt === undefined
  }

  /**
   * A client with several tabs sends one refresh from each: whoever is read a moment later would be taken for a thief.
   * No reply has left yet, so all who come now have sent theirs before the old token was spent.
   */
  async function afterJoining(rotated: TokenPair): Promise<TokenPair> {
    if (joinMs > 0) await pause(clock, joinMs)
    return rotated
  }

  /** The session behind a token: the one it names, or the one it was handed out in. */
  function find({ sid, hash }: AccessToken): Promise<TokenFamilyRow | undefined> {
    return sid === null ? findHandedOut(hash) : families.recent(sid)
  }

  async function findHandedOut(hash: string): Promise<TokenFamilyRow | undefined> {
    const familyId = (await refreshTokens.recent(hash))?.familyId
    return familyId === undefined ? undefined : families.recent(familyId)
  }

  async function familyOf(token: AccessToken, userId: string): Promise<TokenFamilyRow | undefined> {
    const family = await find(token)
    return family?.userId === userId ? family : undefined
  }

  async function revokeOne(token: AccessToken): Promise<number> {
    const expiresAt = token.expiresAt + AFTERLIFE_MS
    await revokedTokens.insert({ id: token.hash, userId: token.userId, expiresAt })
    return 1
  }

  async function endAll(userId: string): Promise<number> {
    const now = clock.now()
    let ended = 0
    for (;;) {
      const open = await families.list({ where: { equal: { userId }, exists: { revokedAt: false } }, limit: PAGE })
      if (open.length === 0) return ended
      const closed = await Promise.all(open.map(async ({ id, expiresAt }) => (await end(id, true)) && expiresAt > now))
      ended += closed.filter(Boolean).length
    }
  }

  async function refuseReuse(familyId: string): Promise<never> {
    await end(familyId)
    throw new AppError('invalid_refresh_token')
  }

  return {
    async issue(user) {
      const now = clock.now()
      const family: TokenFamilyRow = { id: ids.uuid(), userId: user.id, createdAt: now, expiresAt: familyEnd(now) }
      const refreshToken = ids.secret()
      if (!(await families.insert(family, appendOf(refreshToken, family.id, user.id))))
        throw new AppError('internal_error')
      // A password change that ran meanwhile has either seen this session and ended it, or is seen here.
      const current = await users.findById(user.id)
      if (current?.isActive && current.passwordHash === user.passwordHash) return pair(current, family.id, refreshToken)
      await end(family.id)
      throw new AppError(current?.isActive ? 'invalid_credentials' : 'user_disabled')
    },
    rotate(refreshToken) {
      const hash = sha256Hex(refreshToken)
      const running = rotating.get(hash)
      if (running) return running
      const exchanged = exchange(refreshToken, hash)
        .then(afterJoining)
        .finally(() => rotating.delete(hash))
      rotating.set(hash, exchanged)
      return exchanged
    },
    async revoke(tokenOrHash, userId) {
      const row =
        (await refreshTokens.get(sha256Hex(tokenOrHash))) ??
        (SHA256_HEX.test(tokenOrHash) ? await refreshTokens.get(tokenOrHash) : undefined)
      if (row?.userId !== userId || row.isAccess) throw new AppError('token_not_found')
      return (await end(row.familyId)) ? 1 : 0
    },
    async revokeOwn(token) {
      const family = await familyOf(token, token.userId)
      if (!family) return revokeOne(token)
      return (await end(family.id)) ? 1 : 0
    },
    async revokeAll(token) {
      await users.revokeTokensBefore(token.userId, clock.now())
      const foreign = (await familyOf(token, token.userId)) ? 0 : await revokeOne(token)
      return foreign + (await endAll(token.userId))
    },
    endAll,
    end: (familyId) => end(familyId),
    async removeAll(userId) {
      for (;;) {
        const rows = await families.list({ where: { equal: { userId } }, limit: PAGE })
        if (rows.length === 0) return
        for (const { id: familyId } of rows) {
          const issued = await refreshTokens.list({ where: { equal: { familyId } }, limit: PAGE })
          await Promise.all(issued.map(({ id }) => refreshTokens.remove(id)))
          if (issued.length < PAGE) await families.remove(familyId)
        }
      }
    },
    find,
    check(token, user, family) {
      if (family?.userId === user.id) return { sid: family.id, isRevoked: hasEnded(family, user) }
      // Claims count in seconds: a token of the same second may be older, and is refused.
      if (user.tokensValidFromAt > 0 && token.issuedAt <= user.tokensValidFromAt) return { sid: null, isRevoked: true }
      return revokedTokens.recent(token.hash).then((row) => ({ sid: null, isRevoked: row !== undefined }))
    },
    async purge() {
      const before = clock.now() - AFTERLIFE_MS
      let removed = 0
      for (const collection of [refreshTokens, families, revokedTokens])
        for (;;) {
          const lt = { expiresAt: before }
          const rows = await collection.list({
            where: { lt },
            order: { by: 'expiresAt', direction: 'asc' },
            limit: PAGE
          })
          if (rows.length === 0) break
          for (const row of rows) if (await collection.remove(row.id, { lt })) removed++
        }
      return removed
    }
  }
}

/** True also of a session that a password change did not find in time, because it began meanwhile. */
export function hasEnded(family: TokenFamilyRow, user: UserRow): boolean {
  return family.revokedAt !== undefined || family.createdAt < user.tokensValidFromAt
}
