import type { Guard, ListQuery, Scalar } from '../port.ts'
import { compareTexts } from './texts.ts'

/** The values of a column from one, which is among them, up to another, which is not. */
export interface Range {
  from: Scalar
  to: Scalar
}

/** What no text is before, and all numbers are. */
const FIRST_TEXT = ''
/** What no truth value is before, and all numbers and texts are. */
const FIRST_BOOLEAN = false
const NOTHING: Range = { from: FIRST_BOOLEAN, to: FIRST_BOOLEAN }

/**
 * The range in which a guard wants a member: with both ends, since numbers are only compared with numbers and texts with texts,
 * and a column holds both in one order. Undefined: anywhere.
 */
export function rangeOf({ gte = {}, lt = {} }: Guard, path: string): Range | undefined {
  const from = gte[path]
  const to = lt[path]
  if (from === undefined && to === undefined) return undefined
  if (from === undefined) return { from: typeof to === 'string' ? FIRST_TEXT : -Infinity, to: to ?? null }
  if (to === undefined) return { from, to: typeof from === 'string' ? FIRST_BOOLEAN : FIRST_TEXT }
  return typeof from === typeof to ? { from, to } : NOTHING
}

/**
 * What is left of a range behind a row of its order: one of the two bounds on that side would be enough, and SQLite would begin
 * at the wrong one. `isBehind`: it begins at the row itself. Undefined: nothing is left.
 */
export function restOf(
  range: Range,
  direction: 'asc' | 'desc',
  after: NonNullable<ListQuery['after']>
): { from?: Scalar; to?: Scalar; isBehind: boolean } | undefined {
  const { from, to } = range
  // Rows without the member come before all others.
  if (after.value === null) return direction === 'asc' ? { ...range, isBehind: false } : undefined
  if (direction === 'asc') return isBefore(after.value, from) ? { ...range, isBehind: false } : { to, isBehind: true }
  return isBefore(after.value, to) ? { from, isBehind: true } : { ...range, isBehind: false }
}

function isBefore(one: Scalar, other: Scalar): boolean {
  if (typeof one === 'string' && typeof other === 'string') return compareTexts(one, other) < 0
  const place = rankOf(one) - rankOf(other)
  return place === 0 ? Number(one) < Number(other) : place < 0
}

/** The place of a type among all values of a column: nothing, numbers, texts, truth values. */
function rankOf(value: Scalar): number {
  if (value === null) return 0
  if (typeof value === 'number') return 1
  return typeof value === 'string' ? 2 : 3
}
