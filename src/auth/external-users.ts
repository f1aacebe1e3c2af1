import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Store } from '../store/port.ts'
import type { ExternalUser } from './external-user.ts'
import type { UserRow } from '../store/collections.ts'
import { usernameKeyOf } from './user-names.ts'
import type { Users } from './users.ts'

/** The rows of users whom the auth service knows. */
export interface ExternalUsers {
  /**
   * Makes or updates the row after what the service has just said; `readAt` is when. Answers the row, also a tombstone.
   * Its names win over those of other rows that came from elsewhere, which are older news; an account of the gateway
   * keeps its names, and is never changed.
   */
  sync(user: ExternalUser, readAt: number): Promise<UserRow>
}

const ATTEMPTS = 5

/** Over the collection `users`. */
export function createExternalUsers(parts: { store: Store; users: Users; clock: Clock }): ExternalUsers {
  const { users, clock } = parts
  const rows = parts.store.collection<UserRow>('users')

  /** Takes a name from the row that has it; false when that is an account of the gateway. */
  async function isFreed(id: string, member: 'usernameKey' | 'email', value: string): Promise<boolean> {
    const [holder] = await rows.list({ where: { equal: { [member]: value } }, limit: 1 })
    if (holder === undefined || holder.id === id) return true
    if (holder.origin === 'local') return false
    const set = { updatedAt: clock.now(), ...(member === 'usernameKey' ? { username: null } : {}) }
    await rows.update(holder.id, { equal: { [member]: value, origin: 'token' } }, { set, unset: [member] })
    return true
  }

  /** The members of the row that hold its names, each only if it can have that name. */
  async function namesFor({ id, username, email }: ExternalUser): Promise<Partial<UserRow>> {
    const key = username === null ? undefined : usernameKeyOf(username)
    const [isKeyFree, isEmailFree] = await Promise.all([
      key !== undefined && isFreed(id, 'usernameKey', key),
      email !== null && isFreed(id, 'email', email)
    ])
    return {
      ...(key !== undefined && isKeyFree ? { username, usernameKey: key } : { username: null }),
      ...(email !== null && isEmailFree ? { email } : {})
    }
  }

  return {
    async sync(user, readAt) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const { id, username, email, role } = user
        const row = await users.seen({ userId: id, username, email, role, issuedAt: readAt })
        if (row.deletedAt !== undefined || row.origin === 'local') return row
        const names = await namesFor(user)
        const isSame = row.role === role && row.username === names.username && row.email === names.email
        const updatedAt = isSame ? row.updatedAt : clock.now()
        const set = { ...names, role, roleAt: readAt, roleReadAt: readAt, externalId: id, updatedAt }
        const unset = (['usernameKey', 'email'] as const).filter((member) => names[member] === undefined)
        if (await rows.update(id, { exists: { deletedAt: false } }, { set, unset }))
          return without({ ...row, ...set }, unset)
      }
      throw new AppError('overloaded')
    }
  }
}

function without(row: UserRow, members: readonly ('usernameKey' | 'email')[]): UserRow {
  const copy = { ...row }
  for (const member of members) delete copy[member]
  return copy
}
