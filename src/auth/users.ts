import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { Role, UserRow } from '../store/collections.ts'
import type { Position } from '../store/cursor.ts'
import type { Append, Collection, Store } from '../store/port.ts'
import { createUserChanges, emailTaken, isTaken, type UserChanges } from './user-changes.ts'
import { checkEmail, checkUsername, normalEmail, usernameKeyOf } from './user-names.ts'

export interface NewUser {
  username: string
  email: string
  role: Role
  passwordHash: string
}

/** What a token that was minted elsewhere says about its user. */
export interface UserClaims {
  userId: string
  username: string | null
  /** Normalised. */
  email: string | null
  role: Role
  /** When this was true (epoch ms); absent: nobody knows, and nothing that is known gives way to it. */
  issuedAt?: number
  /** What the other service calls the user; absent: as we do. */
  externalId?: string
}

/** The users of the gateway. The find functions never answer a deleted one. */
export interface Users extends UserChanges {
  /** What `record` makes of the row appears with it. @throws validation_error, already_exists */
  create(user: NewUser, record?: (row: UserRow) => Append[]): Promise<UserRow>
  findById(id: string): Promise<UserRow | undefined>
  /** The same, for every request of the user (`recent` of the store). */
  recent(id: string): Promise<UserRow | undefined>
  /** Compared without case. */
  findByUsername(username: string): Promise<UserRow | undefined>
  /** Compared trimmed and lower-cased. */
  findByEmail(email: string): Promise<UserRow | undefined>
  /** By username or e-mail: what people type into a login form. Who has a password comes first, then who has the username. */
  findByLogin(login: string): Promise<UserRow | undefined>
  /** In order of creation; `prefix` matches the start of username or e-mail, without case. */
  list(query: { prefix?: string; after?: Position; limit: number }): Promise<UserRow[]>
  /**
   * The row behind a valid token, also a tombstone; made from the claims when there is none yet. A username or e-mail
   * that another user has stays empty: a token never takes over somebody's name. The role of a user whose role is
   * decided elsewhere follows the newest token.
   */
  seen(claims: UserClaims): Promise<UserRow>
  /** Tokens without a login session that were issued before this instant count as revoked. */
  revokeTokensBefore(id: string, atMs: number): Promise<void>
  hasActiveAdmin(): Promise<boolean>
}

export interface UserOptions {
  store: Store
  clock: Clock
  ids: Ids
  /** Where the administrators come from of whom one must stay. Default local. */
  adminOrigin?: UserRow['origin']
}

/** The user repository over the collection `users`; names are unique by its indexes. */
export function createUsers({ store, clock, ids, adminOrigin = 'local' }: UserOptions): Users {
  const users = store.collection<UserRow>('users')

  const findBy = async (member: 'usernameKey' | 'email', value: string): Promise<UserRow | undefined> =>
    (await users.list({ where: { equal: { [member]: value } }, limit: 1 }))[0]
  const findByUsername = (username: string) => findBy('usernameKey', usernameKeyOf(username))
  const findByEmail = (email: string) => findBy('email', normalEmail(email))

  function newRow(id: string, username: string | null, email: string | null): Omit<UserRow, 'role' | 'origin'> {
    const now = clock.now()
    return {
      id,
      username,
      ...(username === null ? {} : { usernameKey: usernameKeyOf(username) }),
      ...(email === null ? {} : { email }),
      isActive: true,
      externalId: null,
      tokensValidFromAt: 0,
      createdAt: now,
      updatedAt: now
    }
  }

  /** Only forward: two tokens with different roles in use at once must not write in turns. */
  async function follow(row: UserRow, role: Role, issuedAt: number): Promise<UserRow> {
    const change = { role, roleAt: issuedAt, updatedAt: clock.now() }
    const asRead = { equal: { origin: 'token', role: row.role }, exists: { deletedAt: false } }
    return (await users.update(row.id, asRead, { set: change })) ? { ...row, ...change } : row
  }

  return {
    ...createUserChanges(users, { clock, ids, adminOrigin }),
    findByUsername,
    findByEmail,
    async create({ username, email, role, passwordHash }, record = () => []) {
      checkUsername(username)
      const address = normalEmail(email)
      checkEmail(address)
      const row: UserRow = { ...newRow(ids.uuid(), username, address), role, origin: 'local', passwordHash }
      if (await users.insert(row, record(row))) return row
      if (await isTaken(users, 'email', address)) throw emailTaken()
      throw new AppError('already_exists', { detail: 'Another user has this username.' })
    },
    findById: async (id) => unlessDeleted(await users.get(id)),
    recent: async (id) => unlessDeleted(await users.recent(id)),
    async findByLogin(login) {
      // A token from elsewhere may say that somebody is called like the address of one of ours.
      const found = await Promise.all([findByUsername(login), findByEmail(login)])
      return found.find((user) => user?.passwordHash !== undefined) ?? found.find((user) => user !== undefined)
    },
    list: (query) => listUsers(users, query),
    async seen(claims) {
      const { userId, username, email, role, issuedAt = 0, externalId = userId } = claims
      for (let attempt = 0; attempt < 5; attempt++) {
        const known = await users.recent(userId)
        if (known) return isNews(known, role, issuedAt) ? await follow(known, role, issuedAt) : known
        const isNameTaken = username !== null && (await isTaken(users, 'usernameKey', usernameKeyOf(username)))
        const isEmailTaken = email !== null && (await isTaken(users, 'email', email))
        const names = newRow(userId, isNameTaken ? null : username, isEmailTaken ? null : email)
        const row: UserRow = { ...names, role, origin: 'token', externalId, roleAt: issuedAt }
        if (await users.insert(row)) return row
      }
      throw new AppError('overloaded')
    },
    async revokeTokensBefore(id, atMs) {
      await users.update(id, {}, { max: { tokensValidFromAt: atMs } })
    },
    hasActiveAdmin: async () =>
      (await users.count({ equal: { role: 'admin', isActive: true, origin: 'local' }, exists: { deletedAt: false } })) >
      0
  }
}

/** Whether a token says something of its user that is not known. */
function isNews(row: UserRow, role: Role, issuedAt: number): boolean {
  return row.origin === 'token' && row.role !== role && issuedAt > (row.roleAt ?? 0) && row.deletedAt === undefined
}

function unlessDeleted(row: UserRow | undefined): UserRow | undefined {
  return row?.deletedAt === undefined ? row : undefined
}

/** A search is two index ranges, merged in the order both are read in; a row found by both names appears once. */
async function listUsers(
  users: Collection<UserRow>,
  { prefix = '', after, limit }: { prefix?: string; after?: Position; limit: number }
): Promise<UserRow[]> {
  const page = { order: { by: 'createdAt', direction: 'asc' }, ...(after ? { after } : {}), limit } as const
  const start = prefix.trim().toLowerCase()
  if (start === '') return users.list({ where: { exists: { deletedAt: false } }, ...page })
  const end = `${start}\u{10ffff}`
  const found = await Promise.all(
    ['usernameKey', 'email'].map((member) =>
      users.list({ where: { gte: { [member]: start }, lt: { [member]: end } }, ...page })
    )
  )
  const rows = [...new Map(found.flat().map((row) => [row.id, row])).values()]
  return rows.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)).slice(0, limit)
}
