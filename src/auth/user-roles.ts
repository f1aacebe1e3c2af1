import type { Role, UserRow } from '../store/collections.ts'

/**
 * The role that counts now: of our own users that of their row, of others the newest that is known, the token's, or one
 * read from the auth service after the token was issued.
 */
export function currentRole(user: UserRow, token: { role: Role; issuedAt: number }): Role {
  if (user.origin === 'local') return user.role
  return user.roleReadAt !== undefined && user.roleReadAt >= token.issuedAt ? user.role : token.role
}
