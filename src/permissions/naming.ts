import { invalid } from '../errors.ts'
import { Email } from '../schema.ts'
import type { UserRow } from '../store/collections.ts'

/** A user as an administrator names one: exactly one member is there. */
export interface UserName {
  email?: string
  username?: string
  user_id?: string
}

/** What permissions need of the users; deleted ones are not found. */
export interface UserSource {
  findById(id: string): Promise<UserRow | undefined>
  findByUsername(username: string): Promise<UserRow | undefined>
  findByEmail(email: string): Promise<UserRow | undefined>
}

/** What may have been given instead: members that are absent, or null. */
export type GivenNames = { [Member in keyof UserName]?: string | null | undefined }

/**
 * The one name that was given.
 * @throws validation_error for none or several
 */
export function onlyName(...given: (GivenNames | null | undefined)[]): UserName {
  const names = given.flatMap((members): UserName[] => {
    const { email, username, user_id } = members ?? {}
    return [...(email ? [{ email }] : []), ...(username ? [{ username }] : []), ...(user_id ? [{ user_id }] : [])]
  })
  const [first] = names
  if (first === undefined || names.length > 1)
    throw invalid(['body', 'user'], 'must be named by exactly one of email, username and user_id')
  return first
}

/**
 * The user of this name.
 * @throws validation_error for a malformed e-mail address
 */
export async function findNamed(users: UserSource, name: UserName): Promise<UserRow | undefined> {
  if (name.user_id !== undefined) return users.findById(name.user_id)
  if (name.username !== undefined) return users.findByUsername(name.username)
  if (name.email === undefined) return undefined
  if (!new RegExp(Email.pattern ?? '').test(name.email)) throw invalid(['body', 'email'], 'must be an e-mail address')
  return users.findByEmail(name.email)
}

/**
 * The user whose id, e-mail address or username this is; an id wins.
 * @throws validation_error when it is the e-mail address of one user and the username of another
 */
export async function findAny(users: UserSource, text: string): Promise<UserRow | undefined> {
  const byId = await users.findById(text)
  if (byId) return byId
  const [byEmail, byUsername] = await Promise.all([users.findByEmail(text), users.findByUsername(text)])
  if (byEmail && byUsername && byEmail.id !== byUsername.id)
    throw invalid(['path', 'user'], 'is the e-mail address of one user and the username of another; use the id')
  return byEmail ?? byUsername
}

/** The user in a sentence for people. */
export function labelOf(user: Pick<UserRow, 'id' | 'username' | 'email'>): string {
  return user.username ?? user.email ?? user.id
}
