import type { SQLInputValue } from 'node:sqlite'
import { segmentsOf } from '../checks.ts'
import type { CollectionSpec, Scalar } from '../port.ts'
import { memberAt, type Stored } from './values.ts'

/**
 * A member that has an index, or may not become negative, is kept a second time, in a column of its own: SQLite need not read
 * the document to know it.
 * Numbers and texts are themselves. A truth value is a blob, so that it is never taken for the number SQLite would make of it;
 * that puts it behind all texts, where MongoDB has it too. All else is null.
 */
export interface Column {
  /** As the port has it. */
  path: string
  segments: readonly string[]
  /** As SQL has it. */
  name: string
}

/** A value for a place in a statement: mostly `?` alone. */
export interface Bound {
  sql: string
  value: SQLInputValue
}

const NO = new Uint8Array([0])
const YES = new Uint8Array([1])

/** The name of the column of a member. */
export function columnName(path: string): string {
  return `"$.${path}"`
}

/** The columns of a collection: what its indexes are made of, and what may not become negative, once each. */
export function columnsOf(spec: CollectionSpec): Column[] {
  const paths = new Set([...indexedIn(spec), ...(spec.nonNegative ?? [])])
  return [...paths].map((path) => ({ path, segments: segmentsOf(path), name: columnName(path) }))
}

/** The members that indexes of a collection are made of. */
export function indexedIn({ unique = [], indexes = [], partial = [] }: CollectionSpec): Set<string> {
  return new Set([...unique, ...indexes, ...partial.map(({ least }) => Object.keys(least))].flat())
}

/** What the column of this member holds for this document. */
export function columnValue(document: Stored, { segments }: Column): Scalar {
  const value = memberAt(document, segments)
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'string' || typeof value === 'boolean') return value
  // It may be one that JSON writes as a text, if it comes from a caller.
  if (typeof value !== 'object' || value === null || !('toJSON' in value)) return null
  const json: unknown = JSON.parse(JSON.stringify({ value })).value
  return typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean' ? json : null
}

/** The value of a column as a statement takes it. */
export function boundValue(value: Scalar): Bound {
  // A lone surrogate has no UTF-8 form: such a text travels as JSON, and SQLite decodes it.
  if (typeof value === 'string' && !value.isWellFormed())
    return { sql: "json_extract(?,'$')", value: JSON.stringify(value) }
  return { sql: '?', value: typeof value === 'boolean' ? (value ? YES : NO) : value }
}
