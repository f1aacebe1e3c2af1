import type { SQLInputValue } from 'node:sqlite'
import { checkChange, segmentsOf } from '../checks.ts'
import type { Change, Guard, ListQuery, Scalar } from '../port.ts'

/** A piece of SQL and the values of its placeholders, in order. */
export interface Fragment {
  sql: string
  values: SQLInputValue[]
}

/** How a path gets into the SQL: as a placeholder (any number of paths, one statement) or as text (so that an index applies). */
type Placing = (path: string) => Fragment

/** SQLite takes at most 1,000 arguments per function: two per member, and the document. */
const MEMBERS_PER_CALL = 400

/** The path of a member as SQLite writes it: `holds.abc` becomes `$."holds"."abc"`. A malformed path is a programming fault. */
export function jsonPath(path: string): string {
  return `$."${segmentsOf(path).join('"."')}"`
}

/** The value of a member, written so that the expression indexes of the schema apply to it. */
export function member(path: string): string {
  return `json_extract(doc,'${jsonPath(path)}')`
}

/** The guard as a condition whose paths are placeholders: one statement serves every run id. */
export function guardCondition(guard: Guard): Fragment {
  return condition(guard, (path) => ({ sql: '?', values: [jsonPath(path)] }))
}

/** The guard as a condition over literal paths, for which indexes are used. */
export function whereCondition(guard: Guard): Fragment {
  return condition(guard, (path) => ({ sql: `'${jsonPath(path)}'`, values: [] }))
}

/** The changed document as an expression over `doc`; every right-hand side sees the document as it was. */
export function changeExpression(change: Change): Fragment {
  checkChange(change)
  const sets = [
    ...Object.entries(change.set ?? {}).map(([path, value]) => setTo(path, value)),
    ...Object.entries(change.inc ?? {}).map(([path, by]) => increment(path, by)),
    ...Object.entries(change.max ?? {}).map(([path, value]) => raise(path, value))
  ]
  const unsets = change.unset ?? []
  let expression: Fragment = { sql: 'doc', values: [] }
  for (const part of chunks(unsets)) {
    const holes = part.map(() => '?').join(',')
    expression = {
      sql: `json_remove(${expression.sql},${holes})`,
      values: [...expression.values, ...part.map(jsonPath)]
    }
  }
  for (const part of chunks(sets)) {
    const pairs = part.map((set) => `?,${set.sql}`).join(',')
    const values = part.flatMap((set) => [jsonPath(set.path), ...set.values])
    expression = { sql: `json_set(${expression.sql},${pairs})`, values: [...expression.values, ...values] }
  }
  return expression
}

/**
 * The queries that answer a list query one after the other until its limit is reached. Mostly one; two when the keyset
 * crosses the border between rows with and without the order member, because no single comparison spans it.
 */
export function listQueries(table: string, query: ListQuery): Fragment[] {
  const { where = {}, order, after } = query
  const direction = order?.direction === 'desc' ? 'desc' : 'asc'
  const by = order && order.by !== 'id' ? member(order.by) : undefined
  const orderBy = by ? `${by} ${direction}, id ${direction}` : `id ${direction}`
  return keysets(by, direction, after).map((keyset) => {
    const filter = whereCondition(where)
    const conditions = [filter.sql, keyset.sql].filter((sql) => sql !== '').join(' and ')
    return {
      sql: `select doc from ${table}${conditions && ` where ${conditions}`} order by ${orderBy} limit ?`,
      values: [...filter.values, ...keyset.values]
    }
  })
}

/** The value as SQLite compares it: whole numbers as integers (a JavaScript number would be stored as `7.0`). */
export function sqlValue(value: Scalar): SQLInputValue {
  if (typeof value === 'boolean') return value ? 1n : 0n
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  return value
}

function condition(guard: Guard, place: Placing): Fragment {
  const terms = [
    ...Object.entries(guard.equal ?? {}).map(([path, value]) => equalTerm(place(path), value)),
    ...Object.entries(guard.gte ?? {}).map(([path, bound]) => compareTerm(place(path), '>=', bound)),
    ...Object.entries(guard.lt ?? {}).map(([path, bound]) => compareTerm(place(path), '<', bound)),
    ...Object.entries(guard.exists ?? {}).map(([path, isThere]) => {
      const at = place(path)
      return { sql: `json_type(doc,${at.sql}) is ${isThere ? 'not ' : ''}null`, values: at.values }
    })
  ]
  return { sql: terms.map((term) => term.sql).join(' and '), values: terms.flatMap((term) => term.values) }
}

function equalTerm(at: Fragment, value: Scalar): Fragment {
  if (value === null) return { sql: `json_type(doc,${at.sql})='null'`, values: at.values }
  return compareTerm(at, '=', value)
}

/** SQLite orders texts above numbers and reads true as 1, so each comparison also asks for the type. */
function compareTerm(at: Fragment, operator: string, value: string | number | boolean): Fragment {
  const bound = boundValue(value)
  return {
    sql: `json_extract(doc,${at.sql})${operator}${bound.sql} and json_type(doc,${at.sql}) ${typeTest(value)}`,
    values: [...at.values, ...bound.values, ...at.values]
  }
}

function typeTest(value: string | number | boolean): string {
  if (typeof value === 'string') return "='text'"
  return typeof value === 'number' ? "in ('integer','real')" : `='${value}'`
}

/** A lone surrogate has no UTF-8 form: such a text travels as JSON and is decoded by the function that decodes the member. */
function boundValue(value: Scalar): Fragment {
  if (typeof value === 'string' && !value.isWellFormed())
    return { sql: "json_extract(?,'$')", values: [JSON.stringify(value)] }
  return { sql: '?', values: [sqlValue(value)] }
}

function keysets(by: string | undefined, direction: 'asc' | 'desc', after: ListQuery['after']): Fragment[] {
  if (!after) return [{ sql: '', values: [] }]
  const beyond = direction === 'asc' ? '>' : '<'
  if (!by) return [{ sql: `id ${beyond} ?`, values: [after.id] }]
  if (after.value === null) {
    const sameBorder = { sql: `${by} is null and id ${beyond} ?`, values: [after.id] }
    return direction === 'asc' ? [sameBorder, { sql: `${by} is not null`, values: [] }] : [sameBorder]
  }
  const bound = boundValue(after.value)
  const next = { sql: `(${by},id) ${beyond} (${bound.sql},?)`, values: [...bound.values, after.id] }
  return direction === 'asc' ? [next] : [next, { sql: `${by} is null`, values: [] }]
}

interface SetTerm extends Fragment {
  path: string
}

function setTo(path: string, value: unknown): SetTerm {
  return { path, sql: 'json(?)', values: [JSON.stringify(value)] }
}

function increment(path: string, by: number): SetTerm {
  return { path, sql: 'coalesce(json_extract(doc,?),0)+?', values: [jsonPath(path), BigInt(by)] }
}

function raise(path: string, value: number): SetTerm {
  return {
    path,
    sql: 'max(coalesce(json_extract(doc,?),?),?)',
    values: [jsonPath(path), sqlValue(value), sqlValue(value)]
  }
}

function chunks<T>(items: T[]): T[][] {
  const parts: T[][] = []
  for (let i = 0; i < items.length; i += MEMBERS_PER_CALL) parts.push(items.slice(i, i + MEMBERS_PER_CALL))
  return parts
}
