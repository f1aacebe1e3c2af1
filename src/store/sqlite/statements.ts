import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** Prepared statements kept, the longest unused one is dropped first. */
const MAX_STATEMENTS = 256

/** The prepared statement of this text. */
export type Prepare = (sql: string) => StatementSync

/** Prepares statements of a connection, each once as long as it is in use. */
export function createStatementCache(db: DatabaseSync): Prepare {
  const statements = new Map<string, StatementSync>()
  return (sql) => {
    const statement = statements.get(sql) ?? db.prepare(sql)
    // Taken out and put back, so that the first key of the map is the one unused for longest.
    statements.delete(sql)
    const [oldest] = statements.size < MAX_STATEMENTS ? [] : statements.keys()
    if (oldest !== undefined) statements.delete(oldest)
    statements.set(sql, statement)
    return statement
  }
}
