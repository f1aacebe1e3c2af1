import { AppError } from '../errors.ts'
import { collect } from '../store/collect.ts'
import type { ChatflowRow, GrantRow } from '../store/collections.ts'
import { decide } from './decide.ts'
import type { Grants } from './grants.ts'

/** Who asks: the part of an identity that permissions depend on. */
export interface Asker {
  userId: string
  isAdmin: boolean
  /** Who comes by a key may be confined to some chatflows; null: to none. */
  key?: { readonly chatflowIds: readonly string[] | null } | null
}

/** A chatflow that somebody may use; `assignedAt` is null without a grant (admins). */
export interface Grant {
  chatflow: ChatflowRow
  assignedAt: number | null
}

/** Part of a list in the order of chatflow ids; `limit` may be any number. */
export interface Page {
  afterId: string | undefined
  limit: number
}

/** What permissions need of the catalogue. */
export interface ChatflowSource {
  get(chatflowId: string): Promise<ChatflowRow | undefined>
  recent(chatflowId: string): Promise<ChatflowRow | undefined>
  /** Chatflows of every status by id, behind `afterId`. */
  list(page: Page): Promise<ChatflowRow[]>
}

export interface Permissions extends Grants {
  /**
   * Looks into the store each time: a removed grant counts at once.
   * @throws chatflow_not_found, chatflow_forbidden
   */
  require(asker: Asker, chatflowId: string): Promise<Grant>
  /** The chatflows somebody is shown, by id: the granted active ones; for admins all that are not deleted, or all. */
  visibleTo(asker: Asker, page: Page & { withDeleted?: boolean }): Promise<Grant[]>
}

/**
 * The grant of a request behind requireGrant.
 * @throws internal_error on a route without that hook
 */
export function grantOf(request: { grant: Grant | null }): Grant {
  if (request.grant === null) throw new AppError('internal_error', {}, { cause: new Error('requireGrant did not run') })
  return request.grant
}

/** Who may use which chatflow. */
export function createPermissions(grants: Grants, chatflows: ChatflowSource): Permissions {
  function toAdmin(userId: string, { afterId, limit, withDeleted = false }: Page & { withDeleted?: boolean }) {
    return collect<ChatflowRow, Grant>({
      limit,
      read: (last, size) => chatflows.list({ afterId: last?.id ?? afterId, limit: size }),
      async convert(chatflow) {
        if (chatflow.status === 'deleted' && !withDeleted) return undefined
        return { chatflow, assignedAt: assignedAtOf(await grants.find({ userId, chatflowId: chatflow.id })) }
      }
    })
  }

  function toUser({ userId, key }: Asker, { afterId, limit }: Page) {
    return collect<GrantRow, Grant>({
      limit,
      read: (last, size) => grants.ofUser(userId, { afterId: last?.chatflowId ?? afterId, limit: size }),
      async convert({ chatflowId, assignedAt }) {
        if (!isOnList(key, chatflowId)) return undefined
        const chatflow = await chatflows.get(chatflowId)
        return chatflow?.status === 'active' ? { chatflow, assignedAt } : undefined
      }
    })
  }

  return {
    ...grants,

    async require({ userId, isAdmin, key }, chatflowId) {
      const [chatflow, grant] = await Promise.all([chatflows.recent(chatflowId), grants.recent({ userId, chatflowId })])
      const decision = decide({ chatflow, grant, isAdmin })
      if (chatflow === undefined) throw new AppError('chatflow_not_found')
      if (decision !== 'allowed') throw key ? refusalOfKey(decision) : new AppError(decision)
      if (!isOnList(key, chatflowId))
        throw new AppError('chatflow_forbidden', { detail: 'This key may not be used for this chatflow.' })
      return { chatflow, assignedAt: assignedAtOf(grant) }
    },

    visibleTo: (asker, page) => (asker.isAdmin ? toAdmin(asker.userId, page) : toUser(asker, page))
  }
}

/** When an active grant was given; null for everything else. */
export function assignedAtOf(grant: GrantRow | undefined): number | null {
  return grant?.isActive ? grant.assignedAt : null
}

function isOnList(key: Asker['key'], chatflowId: string): boolean {
  return !key?.chatflowIds || key.chatflowIds.includes(chatflowId)
}

/** An administrator's key has less than its owner: it should say why. */
function refusalOfKey(code: 'chatflow_not_found' | 'chatflow_forbidden'): AppError {
  if (code === 'chatflow_not_found') return new AppError(code)
  return new AppError(code, {
    detail: 'The owner of this key has no access to this chatflow; a key needs a grant, whatever role its owner has.'
  })
}
