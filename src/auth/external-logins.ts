import type { Bus } from '../bus/port.ts'
import { type Clock, pause } from '../clock.ts'
import { AppError } from '../errors.ts'
import { sha256Hex } from '../ids.ts'
import type { AuthService, IssuedPair } from './external-calls.ts'
import type { ExternalUser } from './external-user.ts'
import type { ExternalUsers } from './external-users.ts'
import { unavailable } from './http-call.ts'
import { type IssuedPairs, type IssuedSession, refreshEndOf, type VerifiedPair } from './issued-pairs.ts'
import { createRevocations, type Logins } from './logins.ts'
import { hasEnded, type Sessions, type TokenPair } from './sessions.ts'
import type { Tokens } from './tokens.ts'
import type { UserRow } from '../store/collections.ts'
import type { Users } from './users.ts'

export interface ExternalLoginOptions {
  service: AuthService
  tokens: Tokens
  users: Users
  externalUsers: ExternalUsers
  sessions: Sessions
  pairs: IssuedPairs
  clock: Clock
  bus: Bus
  /** Tells the service of all sessions of a user, in the background. */
  logOutEverywhere: (userId: string, bearer: string) => void
  /** Gives back a pair that nobody gets, in the background; best effort. */
  giveBack: (refreshToken: string) => void
  /** How long an exchange stays open for identical ones that were sent with it and are read later. Default 0. */
  joinMs?: number
}

/** The window of the service's limiter. */
const WINDOW_MS = 900_000
/** Clocks that differ: what is over by more need not be asked for. */
const LEEWAY_MS = 30_000
/** Refresh tokens that were not handed out here may be refused by the service so often per window: each costs a call. */
const STRAY_LIMIT = 20
const STRAY_KEY = 'stray-refresh-tokens'

/**
 * Logins at an external auth service. Its tokens go to the client as they are. Its limiter counts this gateway as one
 * client, so a call is made only for what cannot be known here, and identical calls at the same time are one.
 * @see docs/adr/0013-external-auth.md
 */
export function createExternalLogins(options: ExternalLoginOptions): Logins {
  const { service, tokens, users, sessions, pairs, clock, bus, joinMs = 0 } = options
  const loggingIn = new Map<string, Promise<TokenPair>>()
  const refreshing = new Map<string, Promise<TokenPair>>()

  function verified(pair: IssuedPair): VerifiedPair {
    try {
      return { ...pair, token: tokens.verify(pair.accessToken) }
    } catch (cause) {
      throw unavailable(
        new Error('a token of the auth service fails: check JWT_ACCESS_SECRET and both clocks', { cause })
      )
    }
  }

  /** What the service says of the user now, else what it said with the tokens, else the claims. */
  async function describe({ accessToken, token }: VerifiedPair, told: ExternalUser | undefined) {
    const profile = await service.profile(accessToken).catch(ignoreOutage)
    if (profile === undefined) {
      await users.revokeTokensBefore(token.userId, clock.now())
      await sessions.endAll(token.userId)
      throw new AppError('user_disabled')
    }
    const current = [profile, told].find((user) => user !== 'unknown' && user?.id === token.userId)
    if (current === undefined || current === 'unknown') return { user: await users.seen(token), isVerified: undefined }
    // Clocks differ: what is read with a token in hand was read after its issue.
    const readAt = Math.max(clock.now(), token.issuedAt)
    return { user: await options.externalUsers.sync(current, readAt), isVerified: current.isVerified }
  }

  /** The reply, for a user who may have it; else the session ends. */
  async function hand(pair: VerifiedPair, told?: ExternalUser): Promise<TokenPair> {
    const { user, isVerified } = await describe(pair, told)
    if (isShutOut(user)) {
      await sessions.revoke(pair.refreshToken, pair.token.userId)
      throw new AppError('user_disabled')
    }
    const { accessToken, refreshToken, token } = pair
    const expiresInSeconds = Math.max(0, Math.floor((token.expiresAt - clock.now()) / 1000))
    return { accessToken, refreshToken, expiresInSeconds, user, ...(isVerified === undefined ? {} : { isVerified }) }
  }

  async function logIn(username: string, password: string): Promise<TokenPair> {
    for (let attempt = 0; attempt < 2; attempt++) {
      if (attempt > 0) await pause(clock, 1000)
      const { user, ...issued } = await service.login(username, password)
      const pair = verified(issued)
      if (!(await pairs.begin(pair))) continue
      return hand(pair, user)
    }
    throw unavailable(new Error('the auth service hands out tokens that were revoked'))
  }

  async function exchange(refreshToken: string): Promise<TokenPair> {
    const known = await pairs.find(refreshToken)
    if (known) await requireOpen(known)
    if ((refreshEndOf(refreshToken) ?? Number.POSITIVE_INFINITY) + LEEWAY_MS <= clock.now())
      throw new AppError('invalid_refresh_token')
    const ask = known ? service.refresh : askForStray
    let spent = refreshToken
    for (let attempt = 0; attempt < 2; attempt++) {
      if (attempt > 0) await pause(clock, 1000)
      const pair = verified(await ask(spent))
      if (known && pair.token.userId !== known.row.userId)
        throw unavailable(new Error('the auth service answered with the tokens of somebody else'))
      const result = await keep(pair, refreshToken, known)
      if (result === 'kept') return hand(pair)
      spent = pair.refreshToken
      if (result === 'unusable') continue
      options.giveBack(spent)
      throw new AppError('invalid_refresh_token')
    }
    throw unavailable(new Error('the auth service hands out tokens that were revoked'))
  }

  async function keep(pair: VerifiedPair, spent: string, known: IssuedSession | undefined) {
    if (known) return pairs.go(pair, { familyId: known.family.id, spent })
    // Of the same second: the new token is the old one, which is to work once.
    if (pair.refreshToken === spent || !(await pairs.begin(pair))) return 'unusable'
    await pairs.spend(spent, pair)
    return 'kept'
  }

  async function requireOpen({ family, row }: IssuedSession): Promise<void> {
    if (row.rotatedAt !== undefined) {
      // One of the two users of the token is a thief.
      await sessions.end(family.id)
      throw new AppError('invalid_refresh_token')
    }
    const user = await users.findById(row.userId)
    if (!user || hasEnded(family, user)) throw new AppError('invalid_refresh_token')
    if (!user.isActive) throw new AppError('user_disabled')
  }

  /** For a token that was not handed out here: somebody logged in at the service itself, or made it up. */
  async function askForStray(refreshToken: string): Promise<IssuedPair> {
    const { value, resetMs } = await bus.count(STRAY_KEY, WINDOW_MS, 0)
    if (value >= STRAY_LIMIT) throw new AppError('login_rate_limited', { retryAfterSeconds: resetMs / 1000 })
    try {
      return await service.refresh(refreshToken)
    } catch (error) {
      if (error instanceof AppError && error.code === 'invalid_refresh_token') await bus.count(STRAY_KEY, WINDOW_MS)
      throw error
    }
  }

  return {
    login: (username, password) =>
      join(loggingIn, sha256Hex(JSON.stringify([username, password])), () => logIn(username, password)),
    refresh: (refreshToken) =>
      join(refreshing, sha256Hex(refreshToken), async () => {
        const exchanged = await exchange(refreshToken)
        if (joinMs > 0) await pause(clock, joinMs)
        return exchanged
      }),
    ...createRevocations(sessions),
    async revokeAll({ token, bearer }) {
      const ended = await sessions.revokeAll(token)
      if (!token.isForeign) options.logOutEverywhere(token.userId, bearer)
      return ended
    }
  }
}

function isShutOut(user: UserRow): boolean {
  return !user.isActive || user.deletedAt !== undefined
}

/** The profile is asked for the sake of the reply: without it the tokens are as good. */
function ignoreOutage(error: unknown): 'unknown' {
  if (error instanceof AppError) return 'unknown'
  throw error
}

function join<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const known = running.get(key)
  if (known) return known
  const started = work().finally(() => running.delete(key))
  running.set(key, started)
  return started
}
