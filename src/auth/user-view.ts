import { isoInstant } from '../clock.ts'
import { Instant, Nullable, type Static, Type } from '../schema.ts'
import type { UserRow } from '../store/collections.ts'

const identityMembers = {
  id: Type.String(),
  username: Nullable(Type.String()),
  email: Nullable(Type.String()),
  role: Type.String({ enum: ['admin', 'premium', 'user'] }),
  is_active: Type.Boolean()
}

/** A user as a login shows it. */
export const LoginUser = Type.Object({
  ...identityMembers,
  is_verified: Type.Optional(
    Type.Boolean({ description: 'whether the e-mail address is; absent where nobody verifies addresses' })
  )
})

/** A user as administrators see it. */
export const AdminUser = Type.Object({
  ...identityMembers,
  external_id: Nullable(Type.String()),
  created_at: Instant,
  updated_at: Instant
})

/** The API form of a user row; never the password hash. */
export function userView(row: UserRow): Static<typeof AdminUser> {
  return {
    id: row.id,
    username: row.username,
    email: row.email ?? null,
    role: row.role,
    is_active: row.isActive,
    external_id: row.externalId,
    created_at: isoInstant(row.createdAt),
    updated_at: isoInstant(row.updatedAt)
  }
}
