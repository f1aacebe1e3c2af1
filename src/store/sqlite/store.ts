import { DatabaseSync } from 'node:sqlite'
import type { SQLInputValue, StatementSync } from 'node:sqlite'
import { checkAppends, checkDocument, checkLimit, specsByName } from '../checks.ts'
import type { Append, Change, Collection, CollectionSpec, Document, Guard, Store } from '../port.ts'
import { createGroupCommit } from './commit.ts'
import { isTaken, portError } from './errors.ts'
import { schemaOf, tableName } from './schema.ts'
import { changeExpression, guardCondition, listQueries, whereCondition } from './sql.ts'
import type { Fragment } from './sql.ts'

/** How long a statement waits for a lock of another process before it gives up. */
const BUSY_TIMEOUT_MS = 2_000
/** Prepared statements kept, the longest unused one is dropped first. */
const MAX_STATEMENTS = 256

export interface SqliteOptions {
  /** File of the database; it is made when it does not exist, unless `readOnly`. */
  path: string
  specs: CollectionSpec[]
  /** For a look beside the running gateway: no table is made, and every write fails. */
  readOnly?: boolean
}

type Prepare = (sql: string) => StatementSync

/**
 * The storage port over an embedded SQLite: documents as JSON, one table per collection, guards as WHERE clauses.
 * Writes of one turn of the event loop share a transaction (group commit) and resolve when it is on the disk; reads see committed writes only.
 */
export function createSqliteStore({ path, specs, readOnly = false }: SqliteOptions): Store {
  const db = new DatabaseSync(path, { readOnly, timeout: BUSY_TIMEOUT_MS })
  if (!readOnly) {
    db.exec('pragma journal_mode=wal; pragma synchronous=full; pragma journal_size_limit=67108864')
    for (const spec of specs) for (const statement of schemaOf(spec)) db.exec(statement)
  }
  const prepare = createStatementCache(db)
  const commits = createGroupCommit(db)
  const specOf = specsByName(specs)

  function collection<D extends Document>(name: string): Collection<D> {
    const table = tableName(specOf(name).name)
    async function get(id: string): Promise<D | undefined> {
      return reading(() => {
        const row = id.isWellFormed() ? prepare(`select doc from ${table} where id = ?`).get(id) : undefined
        return row && (parse(row) as D)
      })
    }

    async function update(id: string, guard: Guard, change: Change, append: Append[] = []): Promise<boolean> {
      const { sql, values } = updateOf(table, changeExpression(change), id, guardCondition(guard))
      checkAppends(name, append, specOf)
      const appended = append.map((item) => appendTo(prepare, item))
      const write = () => {
        const done = runUnlessTaken(prepare(sql), values)
        if (done) for (const put of appended) put()
        return done
      }
      return id.isWellFormed() && commits.add(write, append.length > 0)
    }

    return {
      get,
      recent: get,
      update,
      updated: async (id, ...rest) => ((await update(id, ...rest)) ? get(id) : undefined),
      async insert(document, append = []) {
        const row = rowOf(document)
        checkAppends(name, append, specOf)
        const appended = append.map((item) => appendTo(prepare, item))
        const write = () => {
          const done =
            prepare(`insert into ${table} (id, doc) values (?, ?) on conflict do nothing`).run(...row).changes === 1
          if (done) for (const put of appended) put()
          return done
        }
        return commits.add(write, append.length > 0)
      },
      async remove(id, guard = {}) {
        const condition = guardCondition(guard)
        const sql = `delete from ${table} where id = ?${and(condition)}`
        return id.isWellFormed() && commits.add(() => prepare(sql).run(id, ...condition.values).changes === 1, false)
      },
      async list(query) {
        checkLimit(query.limit)
        return reading(() => {
          const found: D[] = []
          for (const { sql, values } of listQueries(table, query)) {
            if (found.length === query.limit) break
            const rows = prepare(sql).all(...values, query.limit - found.length)
            for (const row of rows) found.push(parse(row) as D)
          }
          return found
        })
      },
      async count(where) {
        const condition = whereCondition(where)
        const sql = `select count(*) as n from ${table}${condition.sql && ` where ${condition.sql}`}`
        return reading(() => Number(prepare(sql).get(...condition.values)?.['n']))
      }
    }
  }

  return {
    kind: 'sqlite',
    collection,
    async ping() {
      reading(() => prepare('select 1').get())
    },
    // A transaction leaves nothing half done.
    async maintain() {},
    async close() {
      if (!db.isOpen) return
      await commits.end()
      if (db.isOpen) db.close()
    }
  }
}

function createStatementCache(db: DatabaseSync): Prepare {
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

function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw portError(error)
  }
}

function rowOf(document: Document): [id: string, doc: string] {
  checkDocument(document)
  return [document.id, JSON.stringify(document)]
}

/** Every doc was written by rowOf, or by json_set over one: its type is what callers of insert and update put there. */
function parse(row: Record<string, unknown>): unknown {
  return JSON.parse(String(row['doc']))
}

function and(condition: Fragment): string {
  return condition.sql && ` and ${condition.sql}`
}

function updateOf(table: string, change: Fragment, id: string, guard: Fragment): Fragment {
  return {
    sql: `update ${table} set doc = ${change.sql} where id = ?${and(guard)}`,
    values: [...change.values, id, ...guard.values]
  }
}

function runUnlessTaken(statement: StatementSync, values: SQLInputValue[]): boolean {
  try {
    return statement.run(...values).changes === 1
  } catch (error) {
    if (isTaken(error)) return false
    throw error
  }
}

function appendTo(prepare: Prepare, { collection, document }: Append): () => void {
  const sql = `insert into ${tableName(collection)} (id, doc) values (?, ?)`
  const row = rowOf(document)
  return () => {
    try {
      prepare(sql).run(...row)
    } catch (error) {
      if (!isTaken(error)) throw error
      throw new Error(`Appended twice to ${collection}: ${document.id}`, { cause: error })
    }
  }
}
