import { type Clock, isoInstant } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { GrantRow } from '../store/collections.ts'
import type { Append } from '../store/port.ts'
import type { GrantKey, Grants } from './grants.ts'
import type { UserSource } from './naming.ts'
import type { ChatflowSource } from './permissions.ts'

/** Most invalid grants that are listed one by one; all are counted. */
const MAX_DETAILS = 1000

const issues = {
  user_not_found: ['The user does not exist.', 'Delete the assignment.'],
  chatflow_deleted: [
    'Flowise does not list this chatflow any more.',
    'Remove the assignment, or restore the chatflow.'
  ],
  user_inactive: ['The user is disabled.', 'Deactivate the assignment, or enable the user.']
} as const

export type Issue = keyof typeof issues

type UserState = 'missing' | 'disabled' | 'active'

/** Result of an audit; the members are those of the API. */
export interface GrantAudit {
  total_assignments: number
  valid_assignments: number
  invalid_assignments: number
  assignments_by_issue_type: Record<Issue, number>
  chatflows_affected: number
  invalid_user_details: {
    user_id: string
    chatflow_id: string
    chatflow_name: string | null
    issue_type: Issue
    details: string
    suggested_action: string
  }[]
  recommendations: string[]
  audit_timestamp: string
}

/** Result of a cleanup; the members are those of the API. In a dry run nothing is changed, and nothing counts as changed. */
export interface GrantCleanup {
  total_records_processed: number
  invalid_assignments: number
  records_deactivated: number
  records_deleted: number
  errors: number
  error_details: { user_id: string; chatflow_id: string; error: string }[]
  dry_run: boolean
  cleanup_timestamp: string
}

export interface CleanupRequest {
  action: 'deactivate_invalid' | 'delete_invalid'
  chatflowIds?: readonly string[] | undefined
  isDryRun: boolean
}

/** Finding grants that lead nowhere, and ending them. Only active grants are looked at. */
export interface GrantReview {
  /** @throws chatflow_not_found */
  audit(chatflowId?: string): Promise<GrantAudit>
  /** @throws chatflow_not_found; what cannot be written is an entry in error_details */
  cleanup(request: CleanupRequest): Promise<GrantCleanup>
}

export interface ReviewOptions {
  grants: Grants
  chatflows: ChatflowSource
  /** As whoever keeps the users knows them now. */
  users: UserSource
  clock: Clock
  /** What appears with a grant that is ended. */
  record?(change: GrantKey & { issue: Issue; isDeleted: boolean }): Append[]
}

/** The review of the grants in this store. */
export function createReview({ grants, chatflows, users, clock, record = () => [] }: ReviewOptions): GrantReview {
  /** What is wrong with each active grant; nothing for a good one. A failing look-up fails the whole, it counts nobody as missing. */
  async function* examine(chatflowIds: readonly string[] | undefined) {
    // A user with many grants is looked up once: that may be a call to another service.
    const states = new Map<string, UserState>()
    const stateOf = async (userId: string) => {
      const state = states.get(userId) ?? (await lookUp(userId))
      states.set(userId, state)
      return state
    }
    for (const id of chatflowIds ?? [])
      if ((await chatflows.get(id)) === undefined) throw new AppError('chatflow_not_found')
    for (const chatflowId of chatflowIds ? new Set(chatflowIds) : [undefined]) {
      for await (const grant of grants.active(chatflowId))
        yield { grant, ...(await findingOf(grant, await stateOf(grant.userId))) }
    }
  }

  async function lookUp(userId: string): Promise<UserState> {
    const user = await users.findById(userId)
    if (user === undefined) return 'missing'
    return user.isActive ? 'active' : 'disabled'
  }

  async function findingOf(
    grant: GrantRow,
    user: UserState
  ): Promise<{ issue: Issue | undefined; chatflowName: string | null }> {
    const chatflow = await chatflows.get(grant.chatflowId)
    const chatflowName = chatflow?.name ?? null
    if (user === 'missing') return { issue: 'user_not_found', chatflowName }
    if (chatflow === undefined || chatflow.status === 'deleted') return { issue: 'chatflow_deleted', chatflowName }
    return { issue: user === 'active' ? undefined : 'user_inactive', chatflowName }
  }

  return {
    async audit(chatflowId) {
      const counts: Record<Issue, number> = { user_not_found: 0, user_inactive: 0, chatflow_deleted: 0 }
      const affected = new Set<string>()
      const details: GrantAudit['invalid_user_details'] = []
      let total = 0
      for await (const { grant, issue, chatflowName } of examine(chatflowId === undefined ? undefined : [chatflowId])) {
        total++
        if (issue === undefined) continue
        counts[issue]++
        affected.add(grant.chatflowId)
        if (details.length < MAX_DETAILS) details.push(detailOf(grant, issue, chatflowName))
      }
      const invalid = counts.user_not_found + counts.user_inactive + counts.chatflow_deleted
      return {
        total_assignments: total,
        valid_assignments: total - invalid,
        invalid_assignments: invalid,
        assignments_by_issue_type: counts,
        chatflows_affected: affected.size,
        invalid_user_details: details,
        recommendations: recommend(invalid),
        audit_timestamp: isoInstant(clock.now())
      }
    },

    async cleanup({ action, chatflowIds, isDryRun }) {
      const now = clock.now()
      const isDeletion = action === 'delete_invalid'
      const errors: GrantCleanup['error_details'] = []
      let processed = 0
      let invalid = 0
      let changed = 0
      for await (const { grant, issue } of examine(chatflowIds)) {
        processed++
        if (issue === undefined) continue
        invalid++
        if (isDryRun) continue
        try {
          const { userId, chatflowId } = grant
          const more = { append: record({ userId, chatflowId, issue, isDeleted: isDeletion }) }
          if (await (isDeletion ? grants.erase(grant, now, more) : grants.revoke(grant, now, more))) changed++
        } catch {
          errors.push({ user_id: grant.userId, chatflow_id: grant.chatflowId, error: 'could not be written' })
        }
      }
      return {
        total_records_processed: processed,
        invalid_assignments: invalid,
        records_deactivated: isDeletion ? 0 : changed,
        records_deleted: isDeletion ? changed : 0,
        errors: errors.length,
        error_details: errors.slice(0, MAX_DETAILS),
        dry_run: isDryRun,
        cleanup_timestamp: isoInstant(now)
      }
    }
  }
}

function detailOf({ userId, chatflowId }: GrantRow, issue: Issue, chatflowName: string | null) {
  const [details, action] = issues[issue]
  return {
    user_id: userId,
    chatflow_id: chatflowId,
    chatflow_name: chatflowName,
    issue_type: issue,
    details,
    suggested_action: action
  }
}

function recommend(invalid: number): string[] {
  if (invalid === 0) return ['All assignments are valid.']
  const listed = invalid > MAX_DETAILS ? [`Only the first ${MAX_DETAILS} invalid assignments are listed.`] : []
  return ['Run cleanup-users with dry_run true, then with dry_run false.', ...listed]
}
