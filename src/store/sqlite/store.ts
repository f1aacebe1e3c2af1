import { checkAppends, checkDocument, checkLimit, createPathReader, specsByName } from '../checks.ts'
import type { Append, Change, Collection, Document, Guard, Store } from '../port.ts'
import { createDocumentCache } from './cache.ts'
import { changed, stepsOf } from './changes.ts'
import { createGroupCommit } from './commit.ts'
import { connect, createWatch, type SqliteOptions } from './connection.ts'
import { portError } from './errors.ts'
import { conditionsOf, holds } from './guards.ts'
import { isInOrder } from './schema.ts'
import { countQuery, type Layout, layoutOf, listQueries } from './sql.ts'
import { createRedo, type Redone } from './redo.ts'
import { createRedoLogs } from './redo-logs.ts'
import { createStatementCache } from './statements.ts'
import { createTable, type Row, type Table } from './table.ts'
import { createTransactions } from './transactions.ts'
import { createWal } from './wal.ts'
import type { Stored } from './values.ts'

/** Writes at once that are still few: they go into the database without the log. */
const FEW = 16

/** A document that appears with a write, and where. */
interface Appended {
  table: Table
  row: Row
  collection: string
}

/** A collection as it is in the file. */
interface Place {
  table: Table
  layout: Layout
}

/**
 * The storage port over an embedded SQLite: documents as JSON, one table per collection. Guards and changes are worked out
 * here, on documents that are mostly in memory, inside the transaction that stores what comes of them (ADR 23).
 * Writes of one turn of the event loop are made durable together (group commit) and resolve then; reads see whole groups, the
 * last of which may be on the disk only a moment later (ADR 27).
 */
export function createSqliteStore(options: SqliteOptions): Store {
  const db = connect(options)
  const prepare = createStatementCache(db)
  const cache = createDocumentCache()
  const watch = createWatch(db, cache)
  const lines = createRedo()
  const redone: Redone = {
    put: (name, text) => placeOf(name).table.redo.put(text),
    remove: (name, id) => placeOf(name).table.redo.remove(id)
  }
  const logs = hasLogs(options) ? { redo: createRedoLogs(options.path), wal: createWal(db, options.path) } : undefined
  const transactions = createTransactions(db, { cache, watch, lines, redone, logs, few: options.few ?? FEW })
  const commits = createGroupCommit(db, transactions)
  const specOf = specsByName(options.specs)
  const pathOf = createPathReader()
  const places = new Map<string, Place>()
  let closing: Promise<void> | undefined

  function placeOf(name: string): Place {
    const known = places.get(name)
    if (known) return known
    const spec = specOf(name)
    // Where only a look is taken, the file may be one that no columns have been filled in.
    const place = {
      table: createTable(spec, { prepare, shelf: cache.shelf(), lines }),
      layout: layoutOf(spec, isInOrder(db, spec))
    }
    places.set(name, place)
    return place
  }

  function appendedBy(source: string, append: Append[] | undefined): Appended[] {
    if (!append || append.length === 0) return []
    checkAppends(source, append, specOf)
    return append.map((item) => {
      const { table } = placeOf(item.collection)
      return { table, row: table.row(item.document), collection: item.collection }
    })
  }

  function read<T>(work: () => T): Promise<T> {
    return attempt(() => {
      transactions.catchUp()
      watch.lookThisTurn()
      return Promise.resolve(work())
    })
  }

  function collection<D extends Document>(name: string): Collection<D> {
    const { table, layout } = placeOf(name)

    /** The write that makes a change, as it is asked for now. It answers the changed document. */
    function changeOf(id: string, guard: Guard, change: Change, appended: Appended[]): () => Stored | undefined {
      const conditions = conditionsOf(guard, pathOf)
      const steps = stepsOf(change, pathOf)
      return () => {
        const before = id.isWellFormed() ? table.get(id) : undefined
        if (!before || !holds(conditions, before)) return undefined
        const after = changed(before, steps)
        if (!table.replace(id, before, after)) return undefined
        putAll(appended)
        return after
      }
    }

    const get = (id: string) => read(() => (id.isWellFormed() ? (table.get(id) as D | undefined) : undefined))

    return {
      get,
      recent: get,
      insert: (document, append) =>
        attempt(() => {
          checkDocument(document)
          const row = table.row(document)
          const appended = appendedBy(name, append)
          const write = () => {
            const isNew = table.insert(row)
            if (isNew) putAll(appended)
            return isNew
          }
          return commits.add(write, appended.length > 0)
        }),
      update: (id, guard, change, append) =>
        attempt(() => {
          const appended = appendedBy(name, append)
          const write = changeOf(id, guard, change, appended)
          return commits.add(() => write() !== undefined, appended.length > 0)
        }),
      updated: (id, guard, change, append) =>
        attempt(() => {
          const appended = appendedBy(name, append)
          const write = changeOf(id, guard, change, appended)
          return commits.add(write as () => D | undefined, appended.length > 0)
        }),
      remove: (id, guard = {}) =>
        attempt(() => {
          const conditions = conditionsOf(guard, pathOf)
          const write = () => {
            const before = id.isWellFormed() ? table.get(id) : undefined
            if (!before || !holds(conditions, before)) return false
            table.remove(id)
            return true
          }
          return commits.add(write, false)
        }),
      list: (query) =>
        read(() => {
          checkLimit(query.limit)
          const found: D[] = []
          for (const { sql, values } of listQueries(layout, query)) {
            if (found.length === query.limit) break
            const rows = prepare(sql).all(...values, query.limit - found.length)
            // What is in a collection was put there as its type.
            for (const row of rows) found.push(JSON.parse(String(row['doc'])) as D)
          }
          return found
        }),
      count: (where) =>
        read(() => {
          const { sql, values } = countQuery(layout, where)
          return Number(prepare(sql).get(...values)?.['n'])
        })
    }
  }

  async function end(): Promise<void> {
    await commits.end()
    watch.end()
    try {
      await transactions.end()
    } finally {
      db.close()
      logs?.wal.close()
    }
  }

  return {
    kind: 'sqlite',
    commitsInOrder: true,
    collection,
    async ping() {
      await read(() => prepare('select 1').get())
    },
    // A transaction leaves nothing half done.
    async maintain() {},
    close() {
      closing ??= end()
      return closing
    }
  }
}

/** A database in memory has no crash to survive, and where only a look is taken nothing is written. */
function hasLogs({ path, readOnly }: SqliteOptions): boolean {
  return path !== ':memory:' && readOnly !== true
}

function putAll(appended: Appended[]): void {
  for (const { table, row, collection } of appended)
    if (!table.insert(row)) throw new Error(`Appended twice to ${collection}: ${row.id}`)
}

/** What fails before it is asked for fails like all else: with a rejection. */
function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return work()
  } catch (error) {
    return Promise.reject(portError(error))
  }
}
