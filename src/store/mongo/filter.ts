import type { Filter, Sort } from 'mongodb'
import { segmentsOf } from '../checks.ts'
import type { Guard, ListQuery, Scalar } from '../port.ts'
import type { StoredDocument } from './document.ts'
import { storedText } from './values.ts'

const BSON_NULL = 10

/** The guard as a filter of classic operators, which also compare the type: texts match texts, numbers match numbers. */
export function filterOf({ key, ...guard }: Guard): Filter<StoredDocument> {
  const filter: Record<string, Record<string, unknown>> = {}
  const demand = (path: string, operator: string, operand: unknown) => {
    const member = storedPath(path, key)
    filter[member] = { ...filter[member], [operator]: operand }
  }
  // Equality with null would also match documents that lack the member.
  for (const [path, value] of Object.entries(guard.equal ?? {}))
    if (value === null) demand(path, '$type', BSON_NULL)
    else demand(path, '$eq', storedScalar(value))
  for (const [path, bound] of Object.entries(guard.gte ?? {})) demand(path, '$gte', storedScalar(bound))
  for (const [path, bound] of Object.entries(guard.lt ?? {})) demand(path, '$lt', storedScalar(bound))
  for (const [path, isThere] of Object.entries(guard.exists ?? {})) demand(path, '$exists', isThere)
  return filter
}

/** The path as MongoDB has it, with the key in the place of `*`. */
export function storedPath(path: string, key?: string): string {
  return path === 'id' ? '_id' : segmentsOf(path, key).join('.')
}

/** The order of a list query; ties go by id in the same direction. */
export function sortOf({ order }: ListQuery): Sort {
  const direction = order?.direction === 'desc' ? -1 : 1
  const by = order === undefined ? '_id' : storedPath(order.by)
  return by === '_id' ? { _id: direction } : { [by]: direction, _id: direction }
}

/** What lies behind the row a page begins after. Documents without the order member sort as null, before all values. */
export function keysetOf({ order, after }: ListQuery): Filter<StoredDocument> {
  if (!after) return {}
  const isDescending = order?.direction === 'desc'
  const beyond = isDescending ? '$lt' : '$gt'
  const by = order === undefined ? '_id' : storedPath(order.by)
  if (by === '_id') return { _id: { [beyond]: after.id } }
  const tie = { [by]: after.value === null ? null : { $eq: storedScalar(after.value) }, _id: { [beyond]: after.id } }
  if (after.value === null) return isDescending ? tie : { $or: [tie, { [by]: { $ne: null } }] }
  const next = { [by]: { [beyond]: storedScalar(after.value) } }
  return { $or: isDescending ? [tie, next, { [by]: null }] : [tie, next] }
}

function storedScalar(value: Scalar): unknown {
  return typeof value === 'string' ? storedText(value) : value
}
