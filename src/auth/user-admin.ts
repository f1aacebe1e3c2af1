import { AppError } from '../errors.ts'
import type { UserRow } from '../store/collections.ts'
import type { Append } from '../store/port.ts'
import type { Passwords } from './passwords.ts'
import type { UserChange } from './user-changes.ts'
import { checkEmail, checkUsername, normalEmail, roleOf } from './user-names.ts'
import type { Users } from './users.ts'

/** The members of a user that an administrator gives. */
export interface UserForm {
  email?: string
  role?: string
  is_active?: boolean
  password?: string
}

export interface NewUserForm {
  username: string
  email: string
  password: string
  role?: string
  /** Granted on top of what every new account gets. */
  credits?: number
}

/** A change in the making: whose, and the row before and after; null is no user. */
export interface UserRecord {
  id: string
  before: UserRow | null
  after: UserRow | null
  /** Members that changed, as the API names them; of a password only that it did. */
  changed: Members
}

interface Members {
  before: Record<string, unknown>
  after: Record<string, unknown>
}

/** What appears with a change, if and only if it is made. */
export type RecordUser = (change: UserRecord) => Append[]

export interface UserAdmin {
  /** @throws user_not_found */
  get(id: string): Promise<UserRow>
  /** With an opened credit account. @throws validation_error, already_exists, managed_externally */
  create(form: NewUserForm, actorId: string, record: RecordUser): Promise<UserRow>
  /** @throws validation_error, user_not_found, already_exists, last_admin, managed_externally */
  update(id: string, form: UserForm, record: RecordUser): Promise<UserRow>
  /**
   * Disables the user, removes what is theirs, and leaves a tombstone: in this order, so that after a crash the user
   * is shut out already and can be deleted again.
   * @throws user_not_found, last_admin, managed_externally
   */
  remove(id: string, record: RecordUser): Promise<UserRow>
}

export interface UserAdminParts {
  users: Users
  passwords: Passwords
  accounts: {
    /** @throws validation_error for an amount that cannot be granted */
    check(credits: number): void
    open(account: { userId: string; credits: number; actorId: string }): Promise<void>
  }
  endSessions(userId: string): Promise<unknown>
  /** Users are made, changed and deleted elsewhere; here they can be disabled. Default false. */
  isManagedExternally?: boolean
  /** Each removes one kind of the user's belongings; may be called again after a crash. */
  erasers: readonly ((userId: string) => Promise<unknown>)[]
}

const NOTHING: Members = { before: {}, after: {} }

/** Administration of users. */
export function createUserAdmin(parts: UserAdminParts): UserAdmin {
  const { users, passwords, accounts, erasers, isManagedExternally = false } = parts

  function requireOwn(): void {
    if (isManagedExternally)
      throw new AppError('managed_externally', { detail: 'Users are managed by the authentication service.' })
  }

  async function get(id: string): Promise<UserRow> {
    const user = await users.findById(id)
    if (!user) throw new AppError('user_not_found')
    return user
  }

  async function changeOf({ email, role, is_active: isActive, password }: UserForm): Promise<UserChange> {
    const address = email === undefined ? undefined : normalEmail(email)
    if (address !== undefined) checkEmail(address)
    return {
      ...(address === undefined ? {} : { email: address }),
      ...(role === undefined ? {} : { role: roleOf(role) }),
      ...(isActive === undefined ? {} : { isActive }),
      ...(password === undefined ? {} : { passwordHash: await passwords.hash(password) })
    }
  }

  return {
    get,
    async create({ username, email, role, password, credits = 0 }, actorId, record) {
      requireOwn()
      // Everything that can be refused, before anything is made.
      accounts.check(credits)
      checkUsername(username)
      checkEmail(normalEmail(email))
      const passwordHash = await passwords.hash(password)
      const user = await users.create({ username, email, role: roleOf(role), passwordHash }, (after) =>
        record({ id: after.id, before: null, after, changed: NOTHING })
      )
      await accounts.open({ userId: user.id, credits, actorId })
      return user
    },
    async update(id, form, record) {
      const { is_active: _, ...others } = form
      if (Object.values(others).some((value) => value !== undefined)) requireOwn()
      const known = await get(id)
      const change = await changeOf(form)
      if (Object.keys(change).length === 0) return known
      if (change.role !== undefined && known.origin === 'token' && change.passwordHash === undefined)
        throw new AppError('managed_externally', {
          detail: "This user's role comes from the tokens of another service."
        })
      const hasPassword = change.passwordHash !== undefined
      const { after: user } = await users.update(id, change, ({ before, after }) => {
        const changed = difference(before, after, hasPassword)
        return Object.keys(changed.after).length > 0 ? record({ id, before, after, changed }) : []
      })
      if (hasPassword) await parts.endSessions(id)
      return user
    },
    async remove(id, record) {
      requireOwn()
      const user = await get(id)
      const deletion = () => record({ id, before: user, after: null, changed: NOTHING })
      // Recorded when the user is shut out, which may have been before.
      await users.update(id, { isActive: false }, () => (user.isActive ? deletion() : []))
      for (const erase of erasers) await erase(id)
      await users.remove(id, () => (user.isActive ? [] : deletion()))
      return user
    }
  }
}

/** The members of the API form that differ. */
function difference(old: UserRow, current: UserRow, hasPassword: boolean): Members {
  const rows = [
    ['email', old.email ?? null, current.email ?? null],
    ['role', old.role, current.role],
    ['is_active', old.isActive, current.isActive]
  ] as const
  const changed = rows.filter(([, before, after]) => before !== after)
  return {
    before: Object.fromEntries(changed.map(([name, before]) => [name, before])),
    after: {
      ...Object.fromEntries(changed.map(([name, , after]) => [name, after])),
      ...(hasPassword ? { credentials: 'changed' } : {})
    }
  }
}
