import type { PathReader } from '../checks.ts'
import type { Guard, Scalar } from '../port.ts'
import { compareTexts } from './texts.ts'
import { memberAt, type Stored } from './values.ts'

/** One condition of a guard, as it was asked for: later changes of the guard change nothing. */
export interface Condition {
  path: readonly string[]
  kind: 'equal' | 'gte' | 'lt' | 'exists'
  operand: Scalar
}

/** The conditions of a guard. @throws Error when a path is malformed */
export function conditionsOf({ key, equal, gte, lt, exists }: Guard, pathOf: PathReader): Condition[] {
  const conditions: Condition[] = []
  const add = (kind: Condition['kind'], members: Record<string, Scalar>) => {
    for (const path of Object.keys(members)) {
      const operand = members[path]
      if (operand === undefined) throw new Error(`Nothing to compare ${path} with`)
      conditions.push({ path: pathOf(path, key), kind, operand })
    }
  }
  if (equal) add('equal', equal)
  if (gte) add('gte', gte)
  if (lt) add('lt', lt)
  if (exists) add('exists', exists)
  return conditions
}

/** Whether a document is as the guard wants it. */
export function holds(conditions: readonly Condition[], document: Stored): boolean {
  for (const condition of conditions) if (!isMet(condition, memberAt(document, condition.path))) return false
  return true
}

function isMet({ kind, operand }: Condition, value: unknown): boolean {
  if (kind === 'equal') return value === operand
  if (kind === 'exists') return (value !== undefined) === operand
  const isAtLeast = kind === 'gte'
  // Texts are compared with texts and numbers with numbers.
  if (typeof value === 'number' && typeof operand === 'number') return isAtLeast ? value >= operand : value < operand
  if (typeof value === 'string' && typeof operand === 'string') return compareTexts(value, operand) >= 0 === isAtLeast
  return false
}
