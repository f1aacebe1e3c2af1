import type { Clock } from '../clock.ts'
import type { UserRow } from '../store/collections.ts'
import type { AuthService } from './external-calls.ts'
import type { ExternalUser } from './external-user.ts'
import type { ExternalUsers } from './external-users.ts'
import { unavailable } from './http-call.ts'
import type { Identity } from './identity.ts'
import { normalEmail } from './user-names.ts'
import type { Users } from './users.ts'

/** Users as an administrator finds them; deleted ones are not found. */
export interface UserFinder {
  findById(id: string): Promise<UserRow | undefined>
  findByUsername(username: string): Promise<UserRow | undefined>
  findByEmail(email: string): Promise<UserRow | undefined>
}

/** How users are found for this administrator: here, and where an auth service knows them, there too. */
export interface UserDirectory {
  /**
   * A user who is not known here is asked for by id or e-mail, and then is. By username only known ones are found.
   * @throws (each function) invalid_token, role_required, auth_unavailable
   */
  known(administrator: Identity): UserFinder
  /** As `known`, and by id and e-mail the service is asked in any case: who it does not know is not found. */
  current(administrator: Identity): UserFinder
}

export interface DirectoryOptions {
  users: Users
  /** Undefined: all users are kept here. */
  external: { service: AuthService; users: ExternalUsers } | undefined
  clock: Clock
}

/** The form of the service's ids; it is not asked for others. */
const SERVICE_ID = /^[0-9a-f]{24}$/i

/** Look-ups with the administrator's own bearer. */
export function createDirectory({ users, external, clock }: DirectoryOptions): UserDirectory {
  const here: UserFinder = {
    findById: (id) => users.findById(id),
    findByUsername: (username) => users.findByUsername(username),
    findByEmail: (email) => users.findByEmail(email)
  }
  if (!external) return { known: () => here, current: () => here }
  const { service, users: externalUsers } = external

  async function keep(user: ExternalUser | undefined): Promise<UserRow | undefined> {
    if (user === undefined) return undefined
    const row = await externalUsers.sync(user, clock.now())
    return row.deletedAt === undefined ? row : undefined
  }

  async function askById(id: string, bearer: string): Promise<UserRow | undefined> {
    const user = await service.userById(id, bearer)
    if (user !== undefined && user.id.toLowerCase() !== id.toLowerCase()) throw unavailable(new Error('another id'))
    return keep(user)
  }

  async function askByEmail(email: string, bearer: string): Promise<UserRow | undefined> {
    const address = normalEmail(email)
    const user = await service.userByEmail(address, bearer)
    if (user !== undefined && user.email !== address) throw unavailable(new Error('another e-mail address'))
    return keep(user)
  }

  /** The service takes its own tokens only; and it knows nothing of users who came from elsewhere. */
  const isItsOwn = ({ origin, id }: UserRow) => origin === 'token' && SERVICE_ID.test(id)

  function finder({ token, bearer }: Identity, isCurrent: boolean): UserFinder {
    if (token.isForeign) return here
    return {
      ...here,
      async findById(id) {
        const row = await users.findById(id)
        if (row && !(isCurrent && isItsOwn(row))) return row
        return SERVICE_ID.test(id) ? askById(id, bearer) : undefined
      },
      async findByEmail(email) {
        const row = await users.findByEmail(email)
        if (row && !(isCurrent && isItsOwn(row))) return row
        return askByEmail(email, bearer)
      }
    }
  }

  return { known: (identity) => finder(identity, false), current: (identity) => finder(identity, true) }
}
