import { isoInstant } from '../clock.ts'
import { csvTable } from '../csv.ts'
import { Instant, Nullable, type Static, Type } from '../schema.ts'
import type { AuditRow } from '../store/collections.ts'

const Snapshot = Nullable(Type.Record(Type.String(), Type.Unknown()))

/** An audit entry as administrators see it. */
export const AuditView = Type.Object({
  id: Type.String(),
  actor_id: Type.String(),
  action: Type.String(),
  target: Type.String(),
  before: Snapshot,
  after: Snapshot,
  request_id: Type.String(),
  created_at: Instant
})

const COLUMNS = ['id', 'created_at', 'actor_id', 'action', 'target', 'before', 'after', 'request_id'] as const

/** The API form of an audit row. */
export function auditView(row: AuditRow): Static<typeof AuditView> {
  return {
    id: row.id,
    actor_id: row.actorId,
    action: row.action,
    target: row.target,
    before: row.before,
    after: row.after,
    request_id: row.requestId,
    created_at: isoInstant(row.createdAt)
  }
}

/** The rows as CSV, header first. */
export function auditCsv(rows: AsyncIterable<AuditRow>): AsyncGenerator<string> {
  return csvTable(COLUMNS, rows, auditView)
}
