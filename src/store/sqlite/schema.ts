import type { DatabaseSync } from 'node:sqlite'
import type { CollectionSpec } from '../port.ts'
import { columnName, columnsOf } from './columns.ts'
import { jsonPath, leastTerm } from './sql.ts'

const NAME = /^[a-z][a-z0-9_]{0,62}$/
/** Rows whose columns are filled in one transaction. */
const FILLED_AT_ONCE = 5_000

/**
 * Makes the tables and indexes of these collections, where they are not in order yet. Whoever else has written here, an older
 * gateway, which knows no columns, or a newer one, which knows more of them, has left other indexes than ours: then the columns
 * are filled anew, and get their indexes when they are right. So a start that was killed anywhere is repeated by the next.
 */
export function prepareTables(db: DatabaseSync, specs: CollectionSpec[]): void {
  const stale = specs.filter((spec) => !isInOrder(db, spec))
  if (stale.length === 0) return
  together(db, () => {
    for (const spec of stale) clear(db, spec)
  })
  for (const spec of stale) fill(db, spec)
  for (const spec of stale)
    together(db, () => {
      for (const sql of indexesOf(spec)) db.exec(sql.replace('INDEX', 'INDEX IF NOT EXISTS'))
    })
}

/**
 * Whether the table is there with all columns, and with all indexes of ours and no others: then those columns that have an
 * index hold what the documents say.
 */
export function isInOrder(db: DatabaseSync, spec: CollectionSpec): boolean {
  const table = tableName(spec.name)
  const columns = columnsIn(db, table)
  if (!columns.includes('doc') || columnsOf(spec).some(({ path }) => !columns.includes(`$.${path}`))) return false
  const there = indexesIn(db, table)
  const wanted = indexesOf(spec)
  return there.length === wanted.length && wanted.every((sql) => there.includes(sql))
}

/** The table of a collection; a name that is not an identifier is a programming fault. */
export function tableName(collection: string): string {
  if (!NAME.test(collection)) throw new Error(`Malformed collection name: ${JSON.stringify(collection)}`)
  return collection
}

/**
 * Leaves the table with all columns and without indexes. It keeps its rowid: with documents of a kilobyte that halves the cost
 * of inserts and of reads by id.
 */
function clear(db: DatabaseSync, spec: CollectionSpec): void {
  const table = tableName(spec.name)
  const names = columnsOf(spec).map(({ name }) => `, ${name}`)
  // Tables of older gateways have the same rule over the document, and keep it.
  const checks = (spec.nonNegative ?? []).map((path) => `, check (coalesce(${columnName(path)}, 0) >= 0)`)
  const members = [...names, ...checks].join('')
  db.exec(`create table if not exists ${table} (id text not null primary key, doc text not null${members})`)
  const there = columnsIn(db, table)
  for (const { path, name } of columnsOf(spec))
    if (!there.includes(`$.${path}`)) db.exec(`alter table ${table} add column ${name}`)
  const indexes = db.prepare("select name from sqlite_master where tbl_name = ? and type = 'index' and sql is not null")
  for (const row of indexes.all(table)) db.exec(`drop index "${String(row['name'])}"`)
}

/** Makes the columns say what the documents say. */
function fill(db: DatabaseSync, spec: CollectionSpec): void {
  const columns = columnsOf(spec)
  if (columns.length === 0) return
  const table = tableName(spec.name)
  const values = columns.map(({ path, name }) => ({ name, value: storedMember(path) }))
  const sets = values.map(({ name, value }) => `${name} = ${value}`).join(', ')
  const differs = values.map(({ name, value }) => `${name} is not ${value}`).join(' or ')
  const endOf = db.prepare(
    `select max(rowid) as n from (select rowid from ${table} where rowid > ? order by rowid limit ${FILLED_AT_ONCE})`
  )
  const update = db.prepare(`update ${table} set ${sets} where rowid > ? and rowid <= ? and (${differs})`)
  let start = -1
  for (;;) {
    const end = endOf.get(start)?.['n']
    if (typeof end !== 'number') return
    update.run(start, end)
    start = end
  }
}

/** What the column of a member holds, from the document. */
function storedMember(path: string): string {
  const at = `doc,'${jsonPath(path)}'`
  return `case json_type(${at}) when 'true' then x'01' when 'false' then x'00' when 'object' then null when 'array' then null else json_extract(${at}) end`
}

/** The statements that make the indexes of a collection. */
function indexesOf({ name, unique = [], indexes = [], partial = [] }: CollectionSpec): string[] {
  const table = tableName(name)
  const index = (kind: string, paths: string[], columns: string[]) =>
    `"${table}_${kind}_${paths.join('_')}" on ${table} (${columns.join(', ')})`
  const conditionOf = (paths: string[]) => {
    const { least = {} } = partial.find(({ members }) => members.join() === paths.join()) ?? {}
    const terms = Object.entries(least).map(([path, bound]) => leastTerm(path, bound))
    return terms.length > 0 ? ` where ${terms.join(' and ')}` : ''
  }
  return [
    // NULLs are distinct in a unique index: documents lacking a member are outside the rule without a partial index.
    ...unique.map((paths) => `CREATE UNIQUE INDEX ${index('sole', paths, paths.map(columnName))}`),
    ...indexes.map(
      (paths) => `CREATE INDEX ${index('on', paths, [...paths.map(columnName), 'id'])}${conditionOf(paths)}`
    )
  ]
}

/** The names of the columns of a table; none, if there is no such table. */
function columnsIn(db: DatabaseSync, table: string): string[] {
  const rows = db.prepare('select name from pragma_table_info(?)').all(table)
  return rows.map((row) => String(row['name']))
}

/** The statements that have made the indexes of a table, as SQLite keeps them. */
function indexesIn(db: DatabaseSync, table: string): string[] {
  const sql = "select sql from sqlite_master where tbl_name = ? and type = 'index' and sql is not null"
  return db
    .prepare(sql)
    .all(table)
    .map((row) => String(row['sql']))
}

/** All of it or nothing. */
function together(db: DatabaseSync, work: () => void): void {
  db.exec('begin immediate')
  try {
    work()
    db.exec('commit')
  } catch (error) {
    if (db.isTransaction) db.exec('rollback')
    throw error
  }
}
