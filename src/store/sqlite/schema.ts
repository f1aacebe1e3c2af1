import type { DatabaseSync } from 'node:sqlite'
import type { CollectionSpec } from '../port.ts'
import { columnName, columnsOf } from './columns.ts'
import { jsonPath, member } from './sql.ts'

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
      for (const body of indexesOf(spec).values()) db.exec(`create ${body}`)
    })
}

/** Whether the table is there with all indexes of ours and no others: then its columns hold what its documents say. */
export function isInOrder(db: DatabaseSync, spec: CollectionSpec): boolean {
  const table = tableName(spec.name)
  const sql =
    "select name from sqlite_master where tbl_name = ? and (type = 'table' or type = 'index' and sql is not null)"
  const there = db
    .prepare(sql)
    .all(table)
    .map((row) => String(row['name']))
  const wanted = new Set([table, ...indexesOf(spec).keys()])
  return there.length === wanted.size && there.every((name) => wanted.has(name))
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
  const checks = (spec.nonNegative ?? []).map((path) => `, check (coalesce(${member(path)}, 0) >= 0)`).join('')
  db.exec(`create table if not exists ${table} (id text not null primary key, doc text not null${checks})`)
  const there = db
    .prepare('select name from pragma_table_info(?)')
    .all(table)
    .map((row) => row['name'])
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

/** What comes behind `create` for each index of a collection, by its name. */
function indexesOf({ name, unique = [], indexes = [] }: CollectionSpec): Map<string, string> {
  const table = tableName(name)
  const all: [name: string, body: string][] = []
  const add = (kind: string, infix: string, paths: string[], columns: string[]) => {
    const index = `${table}_${infix}_${paths.join('_')}`
    all.push([index, `${kind} "${index}" on ${table} (${columns.join(', ')})`])
  }
  // NULLs are distinct in a unique index: documents lacking a member are outside the rule without a partial index.
  for (const paths of unique) add('unique index', 'sole', paths, paths.map(columnName))
  for (const paths of indexes) add('index', 'on', paths, [...paths.map(columnName), 'id'])
  return new Map(all)
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
