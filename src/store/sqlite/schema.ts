import type { CollectionSpec } from '../port.ts'
import { member } from './sql.ts'

const NAME = /^[a-z][a-z0-9_]{0,62}$/

/**
 * The statements that make the tables and indexes of a collection; running them again changes nothing.
 * Tables keep their rowid: with documents of a kilobyte that halves the cost of inserts and of reads by id.
 */
export function schemaOf(spec: CollectionSpec): string[] {
  const table = tableName(spec.name)
  const checks = (spec.nonNegative ?? []).map((path) => `, check (coalesce(${member(path)}, 0) >= 0)`).join('')
  return [
    `create table if not exists ${table} (id text not null primary key, doc text not null${checks})`,
    // NULLs are distinct in a unique index: documents lacking a member are outside the rule without a partial index.
    ...(spec.unique ?? []).map(
      (paths) =>
        `create unique index if not exists ${indexName('unique', table, paths)} on ${table} (${members(paths)})`
    ),
    ...(spec.indexes ?? []).map(
      (paths) => `create index if not exists ${indexName('by', table, paths)} on ${table} (${members(paths)}, id)`
    )
  ]
}

/** The table of a collection; a name that is not an identifier is a programming fault. */
export function tableName(collection: string): string {
  if (!NAME.test(collection)) throw new Error(`Malformed collection name: ${JSON.stringify(collection)}`)
  return collection
}

function members(paths: string[]): string {
  return paths.map(member).join(', ')
}

function indexName(kind: string, table: string, paths: string[]): string {
  return `"${table}_${kind}_${paths.join('_')}"`
}
