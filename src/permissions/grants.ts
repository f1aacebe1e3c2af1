import { AppError } from '../errors.ts'
import { collect, pagesOf } from '../store/collect.ts'
import type { GrantRow } from '../store/collections.ts'
import type { Append, Guard, Store } from '../store/port.ts'

const PAGE = 500
const MAX_TRIES = 10

/** What assigning did; `No Action` when the grant was active already. */
export type Assignment = 'Assigned' | 'Reactivated' | 'No Action'

export interface GrantKey {
  userId: string
  chatflowId: string
}

/** Documents that appear with a change of a grant, if and only if it is one. */
export interface With {
  append?: Append[]
}

/** The grants: one row per user and chatflow. A revoked one stays, inactive, and is reactivated by the next assignment. */
export interface Grants {
  find(key: GrantKey): Promise<GrantRow | undefined>
  /** The same, for every request about the chatflow (`recent` of the store). */
  recent(key: GrantKey): Promise<GrantRow | undefined>
  /** Of many at once, one outcome: the storage decides who was first. `assignedBy` is the id of the administrator. */
  assign(key: GrantKey, by: { assignedBy: string; now: number } & With): Promise<Assignment>
  /** False if there is no active grant. */
  revoke(key: GrantKey, now: number, more?: With): Promise<boolean>
  /** Revokes, and removes the row itself; false if there is no active grant. */
  erase(key: GrantKey, now: number, more?: With): Promise<boolean>
  /** Active grants of a user, by chatflow id, behind `afterId`. */
  ofUser(userId: string, page: { afterId: string | undefined; limit: number }): Promise<GrantRow[]>
  /** Active grants of a chatflow, oldest first, behind the grant of `after.userId`; `limit` may be any number. */
  ofChatflow(
    chatflowId: string,
    page: { after: { assignedAt: number; userId: string } | undefined; limit: number }
  ): Promise<GrantRow[]>
  countOfChatflow(chatflowId: string): Promise<number>
  /** Every active grant, of one chatflow or of all, read in pages. */
  active(chatflowId?: string): AsyncGenerator<GrantRow>
  /** Removes all rows of a user, inactive ones too; answers how many. */
  removeAllOf(userId: string): Promise<number>
}

/** The id of the grant of this user on this chatflow; as a JSON list, no two pairs have the same. */
export function grantId({ userId, chatflowId }: GrantKey): string {
  return JSON.stringify([userId, chatflowId])
}

/** The grants in this store. */
export function createGrants(store: Store): Grants {
  const rows = store.collection<GrantRow>('grants')
  const behindGrant = (chatflowId: string, row: { assignedAt: number; userId: string } | undefined) =>
    row ? { after: { value: row.assignedAt, id: grantId({ userId: row.userId, chatflowId }) } } : {}
  const behind = (id: string | undefined) => (id === undefined ? {} : { after: { value: id, id } })

  async function revoke(key: GrantKey, now: number, { append = [] }: With = {}): Promise<boolean> {
    const isActive: Guard = { equal: { isActive: true } }
    return rows.update(grantId(key), isActive, { set: { isActive: false, updatedAt: now } }, append)
  }

  async function* active(chatflowId?: string) {
    const where: Guard = { equal: { isActive: true, ...(chatflowId === undefined ? {} : { chatflowId }) } }
    for await (const page of pagesOf(rows, { where, limit: PAGE })) yield* page
  }

  return {
    find: (key) => rows.get(grantId(key)),
    recent: (key) => rows.recent(grantId(key)),

    async assign(key, { assignedBy, now, append = [] }) {
      const id = grantId(key)
      const fresh = { isActive: true, assignedAt: now, assignedBy, updatedAt: now }
      // Each turn loses only to somebody who changed the row in between.
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        if (await rows.insert({ id, ...key, ...fresh }, append)) return 'Assigned'
        if (await rows.update(id, { equal: { isActive: false } }, { set: fresh }, append)) return 'Reactivated'
        if ((await rows.get(id))?.isActive) return 'No Action'
      }
      throw new AppError('overloaded')
    },

    revoke,

    async erase(key, now, more) {
      if (!(await revoke(key, now, more))) return false
      await rows.remove(grantId(key), { equal: { isActive: false } })
      return true
    },

    ofUser: (userId, { afterId, limit }) =>
      rows.list({
        where: { equal: { userId, isActive: true } },
        ...behind(afterId === undefined ? undefined : grantId({ userId, chatflowId: afterId })),
        limit
      }),

    ofChatflow: (chatflowId, { after, limit }) =>
      collect<GrantRow, GrantRow>({
        limit,
        read: (last, size) =>
          rows.list({
            where: { equal: { chatflowId, isActive: true } },
            order: { by: 'assignedAt', direction: 'asc' },
            ...behindGrant(chatflowId, last ?? after),
            limit: size
          }),
        convert: async (row) => row
      }),

    countOfChatflow: (chatflowId) => rows.count({ equal: { chatflowId, isActive: true } }),

    active,

    async removeAllOf(userId) {
      let removed = 0
      for (;;) {
        const page = await rows.list({ where: { equal: { userId } }, limit: PAGE })
        const results = await Promise.all(page.map((row) => rows.remove(row.id)))
        removed += results.filter(Boolean).length
        if (page.length < PAGE) return removed
      }
    }
  }
}
