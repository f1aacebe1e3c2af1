import type { Clock } from '../clock.ts'
import { type Ids, sha256Hex } from '../ids.ts'
import type { AuditRow } from '../store/collections.ts'
import type { Position } from '../store/cursor.ts'
import type { Append, Store } from '../store/port.ts'

/** One change, as the route that made it describes it. */
export interface AuditEntry {
  /** Noun and verb: `user.update`. */
  action: string
  /** Id of what was changed. */
  target: string
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
  /** Names the change where it may be repeated: two entries with the same action, target and key are one. */
  key?: string
}

export interface AuditFilter {
  actor?: string
  target?: string
  action?: string
}

/** Who made it, and with which request. */
export interface AuditContext {
  actorId: string
  requestId: string
}

export interface AuditLog {
  /** For a change that is several writes; where it is one, `append` goes with it. */
  record(entry: AuditEntry & AuditContext): Promise<void>
  /** The entry as part of the write that makes the change: it is there if and only if the change is. */
  append(entry: Omit<AuditEntry, 'key'> & AuditContext): Append
  /** Newest first. */
  list(filter: AuditFilter, page: { after?: Position; limit: number }): Promise<AuditRow[]>
  /** All that match behind `start`, newest first, read in pages as the consumer asks for them. */
  all(filter: AuditFilter, start?: Position): AsyncGenerator<AuditRow>
}

const PAGE = 500
const SECRET = /^(?:.*password.*|.*secret.*|api_?key|authorization|(?:access|refresh)?_?token(?:_?hash)?)$/i

/** Who changed what, over the collection `audit_entries`. */
export function createAuditLog({ store, clock, ids }: { store: Store; clock: Clock; ids: Ids }): AuditLog {
  const entries = store.collection<AuditRow>('audit_entries')

  async function list({ actor, target, action }: AuditFilter, { after, limit }: { after?: Position; limit: number }) {
    const equal = {
      ...(actor === undefined ? {} : { actorId: actor }),
      ...(target === undefined ? {} : { target }),
      ...(action === undefined ? {} : { action })
    }
    const order = { by: 'createdAt', direction: 'desc' } as const
    return entries.list({ where: { equal }, order, ...(after ? { after } : {}), limit })
  }

  function rowOf({ actorId, requestId, action, target, before, after, key }: AuditEntry & AuditContext): AuditRow {
    return {
      id: key === undefined ? ids.uuid() : sha256Hex(JSON.stringify([action, target, key])),
      actorId,
      action,
      target,
      before: withoutSecrets(before),
      after: withoutSecrets(after),
      requestId,
      createdAt: clock.now()
    }
  }

  return {
    async record(entry) {
      await entries.insert(rowOf(entry))
    },
    append: (entry) => ({ collection: 'audit_entries', document: rowOf(entry) }),
    list,
    async *all(filter, start) {
      let after = start
      for (;;) {
        const rows = await list(filter, { ...(after ? { after } : {}), limit: PAGE })
        yield* rows
        const last = rows.at(-1)
        if (!last || rows.length < PAGE) return
        after = { value: last.createdAt, id: last.id }
      }
    }
  }
}

/** The record without members that are named like a secret, at any depth. */
export function withoutSecrets(record: Record<string, unknown> | null): Record<string, unknown> | null {
  if (record === null) return null
  return Object.fromEntries(
    Object.entries(record)
      .filter(([name]) => !SECRET.test(name))
      .map(([name, value]) => [name, isRecord(value) ? withoutSecrets(value) : value])
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
