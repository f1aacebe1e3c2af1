import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { Role, UserRow } from '../store/collections.ts'
import type { Append, Change, Collection, Guard } from '../store/port.ts'

/** What an administrator may change; absent members stay. */
export interface UserChange {
  /** Normalised. */
  email?: string
  role?: Role
  isActive?: boolean
  /** Ends every token issued before. */
  passwordHash?: string
}

/** What appears with a change, made of the rows before and after it. */
export type RecordOf = (change: { before: UserRow; after: UserRow }) => Append[]

export interface UserChanges {
  /**
   * Answers the row before and after exactly this change.
   * @throws user_not_found, already_exists (e-mail), last_admin
   */
  update(id: string, change: UserChange, record?: RecordOf): Promise<{ before: UserRow; after: UserRow }>
  /**
   * Leaves a tombstone: the row stays, so that an old token cannot bring the user back; its names become free.
   * @throws user_not_found, last_admin
   */
  remove(id: string, record?: (before: UserRow) => Append[]): Promise<UserRow>
  /** Removes the marks that a crash left on administrators; harmless to changes under way, which then try again. */
  clearMarks(): Promise<void>
}

export interface UserChangeOptions {
  clock: Clock
  ids: Ids
  /** Administrators that count: those whose role is ours to decide, or those of the service that decides for us. */
  adminOrigin: UserRow['origin']
}

type FullChange = Change & { append: Append[] }

const ATTEMPTS = 100

/**
 * Changes to user rows that never take the last active administrator away, also when two requests, or two processes,
 * each demote one of the last two.
 *
 * The port guards one document at a time, so a change that takes an administrator away has three steps: mark the row,
 * count the administrators without a mark, then apply the change if its own mark is still there. Of two such changes
 * at least one counts after both marks were written, and does not count the other. Within a process they also run one
 * after the other, so that of two exactly one is refused; between processes both may be.
 */
export function createUserChanges(users: Collection<UserRow>, options: UserChangeOptions): UserChanges {
  const { clock, ids, adminOrigin } = options
  const admin = { role: 'admin', isActive: true, origin: adminOrigin } as const
  let turn: Promise<unknown> = Promise.resolve()

  const isAdmin = (row: UserRow) => row.role === admin.role && row.isActive && row.origin === adminOrigin

  async function living(id: string): Promise<UserRow> {
    const row = await users.get(id)
    if (!row || row.deletedAt !== undefined) throw new AppError('user_not_found')
    return row
  }

  /** Any change takes the mark away. */
  function write(id: string, guard: Guard, { append, unset = [], ...change }: FullChange): Promise<boolean> {
    return users.update(id, guard, { ...change, unset: [...unset, 'leavingAdmin'] }, append)
  }

  /** Applies the change to the row as it was read; false when another change came first. */
  async function apply(row: UserRow, change: FullChange, staysAdmin: boolean): Promise<boolean> {
    const { role, isActive, email } = row
    const asRead: Guard = {
      equal: { role, isActive, ...(email === undefined ? {} : { email }) },
      exists: { deletedAt: false, ...(email === undefined ? { email: false } : {}) }
    }
    if (!isAdmin(row) || staysAdmin) return write(row.id, asRead, change)
    const result = turn.then(() => applyToAdmin(row.id, asRead, change))
    turn = result.catch(() => undefined)
    return result
  }

  async function applyToAdmin(id: string, asRead: Guard, change: FullChange): Promise<boolean> {
    const leavingAdmin = ids.uuid()
    if (!(await users.update(id, asRead, { set: { leavingAdmin } }))) return false
    const others = await users.count({ equal: admin, exists: { leavingAdmin: false, deletedAt: false } })
    const mine: Guard = { equal: { leavingAdmin } }
    if (others > 0 && (await write(id, mine, change))) return true
    await users.update(id, mine, { unset: ['leavingAdmin'] })
    if (others > 0) return false
    throw new AppError('last_admin')
  }

  return {
    async update(id, change, record = () => []) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const row = await living(id)
        const now = clock.now()
        const set: Partial<UserRow> = { ...change, updatedAt: now }
        if (change.passwordHash !== undefined) Object.assign(set, { tokensValidFromAt: now, origin: 'local' })
        const after = { ...row, ...set }
        const append = record({ before: row, after })
        if (await apply(row, { set: { ...set }, append }, isAdmin(after))) return { before: row, after }
        if (await isTaken(users, 'email', change.email, id)) throw emailTaken()
      }
      throw new AppError('overloaded')
    },
    async remove(id, record = () => []) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const row = await living(id)
        const now = clock.now()
        const set = { deletedAt: now, isActive: false, username: null, updatedAt: now, tokensValidFromAt: now }
        const unset = ['usernameKey', 'email', 'passwordHash']
        if (await apply(row, { set, unset, append: record(row) }, false)) return row
      }
      throw new AppError('overloaded')
    },
    async clearMarks() {
      const marked = await users.list({
        where: { equal: { role: 'admin' }, exists: { leavingAdmin: true } },
        limit: 1000
      })
      for (const { id } of marked) await users.update(id, {}, { unset: ['leavingAdmin'] })
    }
  }
}

/** Whether another user has this username key or e-mail. */
export async function isTaken(
  users: Collection<UserRow>,
  member: 'usernameKey' | 'email',
  value: string | undefined,
  exceptId?: string
): Promise<boolean> {
  if (value === undefined) return false
  const [row] = await users.list({ where: { equal: { [member]: value } }, limit: 1 })
  return row !== undefined && row.id !== exceptId
}

/** The 409 of an e-mail that another user has. */
export function emailTaken(): AppError {
  return new AppError('already_exists', { detail: 'Another user has this e-mail address.' })
}
