import { invalid } from '../errors.ts'
import type { Scalar } from './port.ts'

/** The row a list page ended at: the value of its order member and its id. */
export interface Position {
  value: Scalar
  id: string
}

/** The opaque `next_cursor` for this row. */
export function encodeCursor(position: Position): string {
  return Buffer.from(JSON.stringify([position.value, position.id])).toString('base64url')
}

/**
 * The row a client's cursor names; undefined without a cursor.
 * @throws validation_error for a cursor that is not ours
 */
export function decodeCursor(cursor: string | undefined, kind: 'number' | 'string'): Position | undefined {
  if (cursor === undefined) return undefined
  try {
    const [value, id, ...rest] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    const isOurs = typeof value === kind && (kind === 'string' || Number.isFinite(value))
    if (isOurs && typeof id === 'string' && rest.length === 0) return { value, id }
  } catch {
    // Falls through to the refusal: what is not JSON is not ours either.
  }
  throw invalid(['query', 'cursor'], 'is not a cursor of this list')
}

/** Cuts a list that was read with one row more than asked, and says where the next page starts. */
export function toPage<R extends { id: string }>(rows: R[], limit: number, value: (row: R) => Scalar) {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  const next_cursor = rows.length > limit && last ? encodeCursor({ value: value(last), id: last.id }) : null
  return { items, count: items.length, next_cursor }
}
