import type { Role } from '../store/collections.ts'
import { isMembers } from './http-call.ts'
import { isEmail, isPlainText, normalEmail, roleOf } from './user-names.ts'

/** A user as the external auth service describes one. */
export interface ExternalUser {
  id: string
  /** Null when there is none, or none that can be used. */
  username: string | null
  /** Normalised. */
  email: string | null
  role: Role
  /** Undefined when it does not say. */
  isVerified: boolean | undefined
}

/** Reads the user object of a reply, whose members have other names on other routes; undefined without an id. */
export function readExternalUser(value: unknown): ExternalUser | undefined {
  if (!isMembers(value)) return undefined
  const { id: ownId, _id: storedId, user_id: claimedId, username, email } = value
  const id = ownId ?? storedId ?? claimedId
  if (!isPlainText(id)) return undefined
  const address = typeof email === 'string' ? normalEmail(email) : ''
  const verified = value.isVerified ?? value.is_verified
  return {
    id,
    username: isPlainText(username) ? username : null,
    email: isEmail(address) ? address : null,
    role: roleOf(value.role),
    isVerified: typeof verified === 'boolean' ? verified : undefined
  }
}
