import type { SQLInputValue } from 'node:sqlite'
import { segmentsOf } from '../checks.ts'
import type { CollectionSpec, Guard, ListQuery, Scalar } from '../port.ts'
import { type Bound, boundValue, columnName, indexedIn } from './columns.ts'
import { type Range, rangeOf, restOf } from './ranges.ts'

/** A piece of SQL and the values of its placeholders, in order. */
export interface Fragment {
  sql: string
  values: SQLInputValue[]
}

/** How the documents of a collection are looked for. */
export interface Layout {
  table: string
  /** Paths of the members that have a column and an index, which vouches for it. */
  columns: ReadonlySet<string>
  /** What a column is at least in the documents that an index of it knows. */
  least: ReadonlyMap<string, number>
}

/** The layout of a collection whose columns can be relied on, or of one that has none. */
export function layoutOf(spec: CollectionSpec, hasColumns: boolean): Layout {
  const bounds = (spec.partial ?? []).flatMap(({ least }) => Object.entries(least))
  return hasColumns
    ? { table: spec.name, columns: indexedIn(spec), least: new Map(bounds) }
    : { table: spec.name, columns: new Set(), least: new Map() }
}

/** A condition of a partial index. SQLite uses one where a query has the same words: no placeholder would do. */
export function leastTerm(path: string, bound: number): string {
  return `${columnName(path)} >= ${bound}`
}

const NONE: Fragment = { sql: '0', values: [] }

/** The path of a member as SQLite writes it: `holds.abc` becomes `$."holds"."abc"`. A malformed path is a programming fault. */
export function jsonPath(path: string): string {
  return `$."${segmentsOf(path).join('"."')}"`
}

/** The value of a member, from the document. */
export function member(path: string): string {
  return `json_extract(doc,'${jsonPath(path)}')`
}

/** The query that counts the documents of which these conditions hold. */
export function countQuery(layout: Layout, where: Guard): Fragment {
  const { sql, values } = allOf(termsOf(layout, where))
  return { sql: `select count(*) as n from ${layout.table}${sql && ` where ${sql}`}`, values }
}

/**
 * The queries that answer a list query one after the other until its limit is reached. Mostly one; two when the keyset
 * crosses the border between rows with and without the order member, because no single comparison spans it.
 */
export function listQueries(layout: Layout, { where = {}, order, after }: ListQuery): Fragment[] {
  const by = order?.by ?? 'id'
  const direction = order?.direction === 'desc' ? 'desc' : 'asc'
  const place = placeOf(layout, by)
  const orderBy = by === 'id' ? `id ${direction}` : `${place} ${direction}, id ${direction}`
  const range = hasColumn(layout, by) ? rangeOf(where, by) : undefined
  const terms = termsOf(layout, where, range && by)
  const page = { place, direction, after: after && by === 'id' ? { value: after.id, id: after.id } : after } as const
  return (range ? startsInRange(page, range) : starts(page)).map((start) => {
    const { sql, values } = allOf([...terms, ...start])
    return { sql: `select doc from ${layout.table}${sql && ` where ${sql}`} order by ${orderBy} limit ?`, values }
  })
}

function placeOf(layout: Layout, path: string): string {
  if (path === 'id') return path
  return layout.columns.has(path) ? columnName(path) : member(path)
}

function hasColumn(layout: Layout, path: string): boolean {
  return path === 'id' || layout.columns.has(path)
}

/** The conditions, but for a range of the member `without`. */
function termsOf(layout: Layout, where: Guard, without?: string): Fragment[] {
  const { equal = {}, gte = {}, lt = {}, exists = {} } = where
  const terms = Object.entries(equal).map(([path, value]) => equalTerm(layout, path, value))
  for (const path of new Set([...Object.keys(gte), ...Object.keys(lt)])) {
    if (path === without) continue
    const range = hasColumn(layout, path) ? rangeOf(where, path) : undefined
    if (range) terms.push(...rangeTerms(placeOf(layout, path), range))
    else
      for (const [operator, bound] of [['>=', gte[path]] as const, ['<', lt[path]] as const])
        if (bound !== undefined) terms.push(typedTerm(path, operator, bound))
  }
  for (const [path, bound] of layout.least)
    if (Number(gte[path]) >= bound) terms.push({ sql: leastTerm(path, bound), values: [] })
  for (const [path, isThere] of Object.entries(exists))
    terms.push({ sql: `json_type(doc,'${jsonPath(path)}') is ${isThere ? 'not ' : ''}null`, values: [] })
  return terms
}

function equalTerm(layout: Layout, path: string, value: Scalar): Fragment {
  if (path === 'id' && typeof value !== 'string') return NONE
  const place = placeOf(layout, path)
  const isNull = `json_type(doc,'${jsonPath(path)}')='null'`
  if (value === null) return { sql: hasColumn(layout, path) ? `${place} is null and ${isNull}` : isNull, values: [] }
  return hasColumn(layout, path) ? compared(place, '=', boundValue(value)) : typedTerm(path, '=', value)
}

/** SQLite orders texts above numbers and reads true as 1, so each comparison with what is in a document also asks for its type. */
function typedTerm(path: string, operator: string, value: string | number | boolean): Fragment {
  const type = `json_type(doc,'${jsonPath(path)}')`
  if (typeof value === 'boolean') return operator === '=' ? { sql: `${type}='${value}'`, values: [] } : NONE
  const { sql, values } = compared(member(path), operator, boundValue(value))
  return { sql: `${sql} and ${type} ${typeof value === 'string' ? "='text'" : "in ('integer','real')"}`, values }
}

/** In what order, and behind which row. */
interface Page {
  place: string
  direction: 'asc' | 'desc'
  after: ListQuery['after']
}

/** Where the queries of a page begin, when any value will do. */
function starts({ place, direction, after }: Page): Fragment[][] {
  if (!after) return [[]]
  if (after.value !== null) {
    const next = [behind({ place, direction, after })]
    return direction === 'asc' || place === 'id' ? [next] : [next, [{ sql: `${place} is null`, values: [] }]]
  }
  const sameBorder = { sql: `${place} is null and id ${direction === 'asc' ? '>' : '<'} ?`, values: [after.id] }
  return direction === 'asc' ? [[sameBorder], [{ sql: `${place} is not null`, values: [] }]] : [[sameBorder]]
}

/** Where the query of a page begins, when the order member is in this range: none, if nothing is left of it. */
function startsInRange(page: Page, range: Range): Fragment[][] {
  const { place, direction, after } = page
  const rest = after ? restOf(range, direction, after) : { ...range, isBehind: false }
  return rest ? [[...(rest.isBehind ? [behind(page)] : []), ...rangeTerms(place, rest)]] : []
}

/** The rows behind one that has the order member. */
function behind({ place, direction, after }: Page): Fragment {
  const { value = null, id = '' } = after ?? {}
  const beyond = direction === 'asc' ? '>' : '<'
  const bound = boundValue(value)
  if (place === 'id') return compared(place, beyond, bound)
  return { sql: `(${place},id) ${beyond} (${bound.sql},?)`, values: [bound.value, id] }
}

function rangeTerms(place: string, { from, to }: Partial<Range>): Fragment[] {
  return [
    ...(from === undefined ? [] : [compared(place, '>=', boundValue(from))]),
    ...(to === undefined ? [] : [compared(place, '<', boundValue(to))])
  ]
}

function allOf(terms: Fragment[]): Fragment {
  return { sql: terms.map(({ sql }) => sql).join(' and '), values: terms.flatMap(({ values }) => values) }
}

function compared(place: string, operator: string, { sql, value }: Bound): Fragment {
  return { sql: `${place}${operator}${sql}`, values: [value] }
}
