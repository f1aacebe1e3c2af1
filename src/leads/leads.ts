import type { Clock } from '../clock.ts'
import type { Ids } from '../ids.ts'
import { pagesOf } from '../store/collect.ts'
import type { Position } from '../store/cursor.ts'
import type { Store } from '../store/port.ts'
import type { LeadRow } from '../store/surface-rows.ts'

/** Who left an address. They are the operator's records: neither a session nor a user takes them along. */
export interface Leads {
  add(lead: Omit<LeadRow, 'id' | 'createdAt'>): Promise<LeadRow>
  /** Newest first. */
  ofChatflow(chatflowId: string, page: { after: Position | undefined; limit: number }): Promise<LeadRow[]>
  /** All of them, read as they are asked for. */
  all(chatflowId: string): AsyncGenerator<LeadRow>
}

const PAGE = 200

/** The leads in this store. */
export function createLeads({ store, clock, ids }: { store: Store; clock: Clock; ids: Ids }): Leads {
  const rows = store.collection<LeadRow>('leads')
  const order = { by: 'createdAt', direction: 'desc' } as const

  return {
    async add(lead) {
      const row = { id: ids.uuid(), ...lead, createdAt: clock.now() }
      await rows.insert(row)
      return row
    },

    ofChatflow: (chatflowId, { after, limit }) =>
      rows.list({ where: { equal: { chatflowId } }, order, ...(after ? { after } : {}), limit }),

    async *all(chatflowId) {
      for await (const page of pagesOf(rows, { where: { equal: { chatflowId } }, order, limit: PAGE })) yield* page
    }
  }
}
