import { AppError } from '../errors.ts'
import type { UserRow } from '../store/collections.ts'
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

/** An update: the user as they are now, and the members that changed, as the API names them. */
export interface UserUpdate {
  user: UserRow
  before: Record<string, unknown>
  after: Record<string, unknown>
}

export interface UserAdmin {
  /** @throws user_not_found */
  get(id: string): Promise<UserRow>
  /** With an opened credit account. @throws validation_error, already_exists, managed_externally */
  create(form: NewUserForm, actorId: string): Promise<UserRow>
  /** @throws validation_error, user_not_found, already_exists, last_admin, managed_externally */
  update(id: string, form: UserForm): Promise<UserUpdate>
  /**
   * Disables the user, removes what is theirs, and leaves a tombstone: in this order, so that after a crash the user
   * is shut out already and can be deleted again.
   * @throws user_not_found, last_admin, managed_externally
   */
  remove(id: string): Promise<UserRow>
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
    async create({ username, email, role, password, credits = 0 }, actorId) {
      requireOwn()
      // Everything that can be refused, before anything is made.
      accounts.check(credits)
      checkUsername(username)
      checkEmail(normalEmail(email))
      const passwordHash = await passwords.hash(password)
      const user = await users.create({ username, email, role: roleOf(role), passwordHash })
      await accounts.open({ userId: user.id, credits, actorId })
      return user
    },
    async update(id, form) {
      const { is_active: _, ...others } = form
      if (Object.values(others).some((value) => value !== undefined)) requireOwn()
      const known = await get(id)
      const change = await changeOf(form)
      if (Object.keys(change).length === 0) return { user: known, before: {}, after: {} }
      if (change.role !== undefined && known.origin === 'token' && change.passwordHash === undefined)
        throw new AppError('managed_externally', {
          detail: "This user's role comes from the tokens of another service."
        })
      const changed = await users.update(id, change)
      const user = changed.after
      const { before, after } = difference(changed)
      if (change.passwordHash === undefined) return { user, before, after }
      await parts.endSessions(id)
      return { user, before, after: { ...after, credentials: 'changed' } }
    },
    async remove(id) {
      requireOwn()
      const before = await get(id)
      await users.update(id, { isActive: false })
      for (const erase of erasers) await erase(id)
      await users.remove(id)
      return before
    }
  }
}

/** The members of the API form that differ. */
function difference(change: { before: UserRow; after: UserRow }): Pick<UserUpdate, 'before' | 'after'> {
  const { before: old, after: current } = change
  const rows = [
    ['email', old.email ?? null, current.email ?? null],
    ['role', old.role, current.role],
    ['is_active', old.isActive, current.isActive]
  ] as const
  const changed = rows.filter(([, before, after]) => before !== after)
  return {
    before: Object.fromEntries(changed.map(([name, before]) => [name, before])),
    after: Object.fromEntries(changed.map(([name, , after]) => [name, after]))
  }
}
