import type { Role, UserRow } from '../store/collections.ts'

/** A user row with what is known of a role that is decided elsewhere (epoch ms). */
export interface RoledUser extends UserRow {
  /** When the role of the row was true: the issue of the token that said it, or the read from the auth service. */
  roleAt?: number
  /** When the auth service last said it. */
  roleReadAt?: number
}

/**
 * The role that counts now: of our own users that of their row, of others the newest that is known, the token's, or one
 * read from the auth service after the token was issued.
 */
export function currentRole(user: RoledUser, token: { role: Role; issuedAt: number }): Role {
  if (user.origin === 'local') return user.role
  return user.roleReadAt !== undefined && user.roleReadAt >= token.issuedAt ? user.role : token.role
}
