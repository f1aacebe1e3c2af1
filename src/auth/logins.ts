import type { Credentials } from './credentials.ts'
import type { Identity } from './identity.ts'
import type { Sessions, TokenPair } from './sessions.ts'

/** Logging in, going on, logging out: the same for users that are kept here and for those of an auth service. */
export interface Logins {
  /** @throws invalid_credentials, user_disabled, email_not_verified, overloaded, login_rate_limited, auth_unavailable */
  login(username: string, password: string): Promise<TokenPair>
  /**
   * Exchanges a refresh token, once; its second use ends the session. Identical calls that overlap share one exchange.
   * @throws invalid_refresh_token, user_disabled, login_rate_limited, auth_unavailable
   */
  refresh(refreshToken: string): Promise<TokenPair>
  /** Ends the session of a refresh token, or of its SHA-256. Sessions ended. @throws token_not_found */
  revoke(tokenOrHash: string, identity: Identity): Promise<number>
  /** Ends the session behind the presented token. Sessions ended. */
  revokeOwn(identity: Identity): Promise<number>
  /** Ends every session of the caller. Sessions ended. */
  revokeAll(identity: Identity): Promise<number>
}

/** Logins with the passwords that are kept here. */
export function createLocalLogins(credentials: Credentials, sessions: Sessions): Logins {
  return {
    login: async (username, password) => sessions.issue(await credentials.check(username, password)),
    refresh: (refreshToken) => sessions.rotate(refreshToken),
    ...createRevocations(sessions)
  }
}

/** The half that is alike everywhere: what is revoked is revoked here first. */
export function createRevocations(sessions: Sessions): Pick<Logins, 'revoke' | 'revokeOwn' | 'revokeAll'> {
  return {
    revoke: (tokenOrHash, { userId }) => sessions.revoke(tokenOrHash, userId),
    revokeOwn: ({ token }) => sessions.revokeOwn(token),
    revokeAll: ({ token }) => sessions.revokeAll(token)
  }
}
