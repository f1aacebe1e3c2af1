import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { ChatflowRow, UserRow } from '../store/collections.ts'
import type { Append } from '../store/port.ts'
import type { Assignment, GrantKey, Grants } from './grants.ts'
import { findAny, findNamed, labelOf, type UserName, type UserSource } from './naming.ts'
import type { ChatflowSource } from './permissions.ts'

/** What an assignment or its end did to one user; the members are those of the API. */
export interface Outcome<S extends string> {
  user_id: string
  username: string | null
  email: string | null
  status: S
  message: string
}

export type Failure = UserName & { status: 'Failed'; code: string; message: string }

/** What an administrator does with grants. */
export interface Assignments {
  /** @throws chatflow_not_found, user_not_found */
  assign(chatflowId: string, name: UserName): Promise<Outcome<Assignment>>
  /** One result per name, in their order. @throws chatflow_not_found */
  assignAll(chatflowId: string, names: UserName[]): Promise<{ successes: Outcome<Assignment>[]; failures: Failure[] }>
  /** @throws chatflow_not_found, user_not_found, assignment_not_found */
  remove(chatflowId: string, user: UserName | { any: string }): Promise<Outcome<'Deactivated'>>
}

export interface AssignmentOptions {
  grants: Grants
  chatflows: ChatflowSource
  /** Users that are known here. */
  users: UserSource
  /** The same, and users that somebody else knows. */
  directory: UserSource
  clock: Clock
  /** Id of the administrator. */
  assignedBy: string
  /** What appears with a grant that was given or taken away. */
  record(change: GrantKey & { isActive: boolean }): Append[]
}

/** Assigning and removing, with users found by the name an administrator gave; the grant knows only their id. */
export function createAssignments(options: AssignmentOptions): Assignments {
  const { grants, chatflows, users, directory, clock, assignedBy, record } = options

  async function known(chatflowId: string): Promise<ChatflowRow> {
    const chatflow = await chatflows.get(chatflowId)
    if (chatflow === undefined) throw new AppError('chatflow_not_found')
    return chatflow
  }

  async function present(chatflowId: string): Promise<ChatflowRow> {
    const chatflow = await known(chatflowId)
    if (chatflow.status === 'deleted') throw new AppError('chatflow_not_found')
    return chatflow
  }

  async function assignOne(chatflow: ChatflowRow, name: UserName): Promise<Outcome<Assignment>> {
    const user = await findNamed(directory, name)
    if (user === undefined) throw new AppError('user_not_found')
    const key = { userId: user.id, chatflowId: chatflow.id }
    const append = record({ ...key, isActive: true })
    const status = await grants.assign(key, { assignedBy, now: clock.now(), append })
    const done = status === 'No Action' ? 'had access already' : 'has access now'
    return outcome(user, status, `${labelOf(user)} ${done}: ${chatflow.name}`)
  }

  return {
    assign: async (chatflowId, name) => assignOne(await present(chatflowId), name),

    async assignAll(chatflowId, names) {
      const chatflow = await present(chatflowId)
      const results = await Promise.all(
        names.map((name) => assignOne(chatflow, name).catch((error: unknown) => failure(name, error)))
      )
      const successes = results.flatMap((result) => (result.status === 'Failed' ? [] : [result]))
      const failures = results.flatMap((result) => (result.status === 'Failed' ? [result] : []))
      return { successes, failures }
    },

    async remove(chatflowId, name) {
      const chatflow = await known(chatflowId)
      const user = 'any' in name ? await findAny(users, name.any) : await findNamed(users, name)
      // The grant of a user who is gone can still be removed by id.
      const id = user?.id ?? ('any' in name ? name.any : name.user_id)
      if (id === undefined) throw new AppError('user_not_found')
      const key = { userId: id, chatflowId }
      const isRemoved = await grants.revoke(key, clock.now(), { append: record({ ...key, isActive: false }) })
      if (!isRemoved) throw new AppError(user === undefined ? 'user_not_found' : 'assignment_not_found')
      const gone = user ?? { id, username: null }
      return outcome(gone, 'Deactivated', `${labelOf(gone)} has no access any more: ${chatflow.name}`)
    }
  }
}

type Named = Pick<UserRow, 'id' | 'username' | 'email'>

function outcome<S extends string>(user: Named, status: S, message: string): Outcome<S> {
  return { user_id: user.id, username: user.username, email: user.email ?? null, status, message }
}

/** What concerns one name is that name's result; an outage concerns the whole request. */
function failure(name: UserName, error: unknown): Failure {
  if (!(error instanceof AppError) || (error.kind !== 'missing' && error.kind !== 'invalid')) throw error
  return { ...name, status: 'Failed', code: error.code, message: error.message }
}
