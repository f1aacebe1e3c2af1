import type { SQLInputValue, StatementSync } from 'node:sqlite'
import { AppError } from '../../errors.ts'
import type { CollectionSpec, Document } from '../port.ts'
import type { Shelf } from './cache.ts'
import { boundValue, columnsOf, columnValue } from './columns.ts'
import { isTaken } from './errors.ts'
import type { Redo } from './redo.ts'
import { tableName } from './schema.ts'
import type { Prepare } from './statements.ts'
import { frozen, type Stored } from './values.ts'

/** SQLite reads no JSON that is nested deeper: such a document would spoil every list that looks into it. */
const MAX_DEPTH = 1_000

/** A document as it is inserted: what its members were when it was given. */
export interface Row {
  id: string
  text: string
  /** The columns as placeholders, and their values. */
  holes: string
  values: SQLInputValue[]
}

/** The table of one collection, and what is known of its rows. Writes belong into a transaction. */
export interface Table {
  /** As this connection sees it: with what the open transaction has written. */
  get(id: string): Stored | undefined
  row(document: Document): Row
  /** False if the id or a unique key is taken. */
  insert(row: Row): boolean
  /** Puts the new form of a document in the place of the old one; false if a unique key would be taken twice. */
  replace(id: string, before: Stored, after: Stored): boolean
  remove(id: string): void
  /** Writes once more what was written before: neither remembered nor noted down. */
  redo: {
    /** Puts a document in its place, whether there was one or not. */
    put(text: string): void
    remove(id: string): void
  }
}

/** What a table is made with. */
export interface TableParts {
  prepare: Prepare
  /** Remembers its rows. */
  shelf: Shelf
  /** Notes down what is written. */
  lines: Redo
}

/** Opens the table of a collection; statements are made when they are needed. */
export function createTable(spec: CollectionSpec, { prepare, shelf, lines }: TableParts): Table {
  const table = tableName(spec.name)
  const columns = columnsOf(spec)
  const names = columns.map(({ name }) => `,${name}`).join('')
  // Where others append, most rows are written once and not read for long.
  const isKept = spec.appendedFrom === undefined
  const inserts = new Map<string, StatementSync>()
  const updates = new Map<string, StatementSync>()
  let selection: StatementSync | undefined

  function insertion(holes: string): StatementSync {
    return prepare(`insert into ${table} (id,doc${names}) values (?,?${holes}) on conflict do nothing`)
  }

  function update(sets: string): StatementSync {
    return prepare(`update ${table} set doc=?${sets} where id=?`)
  }

  function remove(id: string): void {
    prepare(`delete from ${table} where id = ?`).run(id)
  }

  function rowOf(document: Document): Row {
    const stored = document as Document & Stored
    const text = JSON.stringify(document)
    checkDepth(text, stored)
    const row: Row = { id: document.id, text, holes: '', values: [] }
    for (const column of columns) {
      const { sql, value } = boundValue(columnValue(stored, column))
      row.holes += `,${sql}`
      row.values.push(value)
    }
    return row
  }

  return {
    get(id) {
      const known = shelf.get(id)
      if (known !== undefined) return known ?? undefined
      selection ??= prepare(`select doc from ${table} where id = ?`)
      const text = selection.get(id)?.['doc']
      if (typeof text !== 'string') {
        shelf.keep(id, undefined)
        return undefined
      }
      shelf.keep(id, text)
      return shelf.get(id) ?? frozen(JSON.parse(text))
    },
    row: rowOf,
    insert({ id, text, holes, values }) {
      const isNew = once(inserts, holes, insertion).run(id, text, ...values).changes === 1
      if (!isNew) return false
      shelf.write(id, isKept ? text : undefined)
      lines.put(spec.name, text)
      return true
    },
    replace(id, before, after) {
      const text = JSON.stringify(after)
      checkDepth(text, after)
      const values: SQLInputValue[] = [text]
      let sets = ''
      for (const column of columns) {
        const now = columnValue(after, column)
        // SQLite moves a row in each index of which a column is named, whether it changes or not.
        if (now === columnValue(before, column)) continue
        const { sql, value } = boundValue(now)
        sets += `,${column.name}=${sql}`
        values.push(value)
      }
      try {
        once(updates, sets, update).run(...values, id)
      } catch (error) {
        if (isTaken(error)) return false
        throw error
      }
      shelf.write(id, text, after)
      lines.put(spec.name, text)
      return true
    },
    remove(id) {
      remove(id)
      shelf.write(id, undefined, null)
      lines.remove(spec.name, id)
    },
    redo: {
      put(text) {
        const { id, holes, values } = rowOf(JSON.parse(text))
        const sets = columns.map(({ name }) => `,${name}=excluded.${name}`).join('')
        const sql = `insert into ${table} (id,doc${names}) values (?,?${holes}) on conflict (id) do update set doc=excluded.doc${sets}`
        prepare(sql).run(id, text, ...values)
      },
      remove
    }
  }
}

/** What was made for this key before, or is made now: there are as many keys as sets of columns that change together. */
function once<T>(made: Map<string, T>, key: string, make: (key: string) => T): T {
  const before = made.get(key)
  if (before !== undefined) return before
  const value = make(key)
  made.set(key, value)
  return value
}

/** Refuses a document that SQLite could not read. */
function checkDepth(text: string, document: Stored): void {
  // Each level is a pair of brackets.
  if (text.length > 2 * MAX_DEPTH && isDeeper(document, MAX_DEPTH))
    throw new AppError('store_unavailable', {}, { cause: new Error('The document is nested too deep') })
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1))
}
