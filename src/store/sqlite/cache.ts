import { frozen, type Stored } from './values.ts'

/** Rows of all collections, those included that are not there. */
const MAX_ENTRIES = 32_768
/** Characters of their JSON. */
const MAX_SIZE = 16 * 1024 * 1024
/** A document that would push out many others is not kept. */
const MAX_DOCUMENT = MAX_SIZE / 64
/** What a row costs that is not there. */
const OF_NOTHING = 64

/** What is known of one row: its JSON until somebody asks, then the document. Neither: there is no such row. */
interface Entry {
  text: string | undefined
  document: Stored | undefined
  size: number
}

/** The rows of one collection that are known. */
export interface Shelf {
  /** What is known of this id: the document, null when there is none, undefined when nobody knows. */
  get(id: string): Stored | null | undefined
  /** What was read. Undefined: there is no such row. */
  keep(id: string, text: string | undefined): void
  /** What was written, which may be undone until `settle`. Null: the row was removed. Undefined: nobody needs to know. */
  write(id: string, text: string | undefined, document?: Stored | null): void
}

/** Rows known without asking the database. Bounded: what was not asked for since the other half was filled goes first. */
export interface DocumentCache {
  shelf(): Shelf
  /** Forgets all. */
  clear(): void
  /** How many writes could be undone now. */
  written(): number
  /** Forgets what was written since there were so many: the database has undone it. */
  undo(from: number): void
  /** The first so many of them can no longer be undone. */
  settle(writes: number): void
}

interface Halves {
  young: Map<string, Entry>
  old: Map<string, Entry>
}

/** An empty cache. */
export function createDocumentCache(): DocumentCache {
  const shelves: Halves[] = []
  let entries = 0
  let size = 0
  let unsettled: { shelf: Halves; id: string }[] = []

  function add(shelf: Halves, id: string, entry: Entry): void {
    shelf.young.set(id, entry)
    entries++
    size += entry.size
    if (entries < MAX_ENTRIES / 2 && size < MAX_SIZE / 2) return
    for (const each of shelves) {
      each.old = each.young
      each.young = new Map()
    }
    entries = 0
    size = 0
  }

  function find(shelf: Halves, id: string): Entry | undefined {
    const entry = shelf.young.get(id)
    if (entry) return entry
    const older = shelf.old.get(id)
    if (older) {
      shelf.old.delete(id)
      add(shelf, id, older)
    }
    return older
  }

  function forget(shelf: Halves, id: string): void {
    shelf.young.delete(id)
    shelf.old.delete(id)
  }

  function put(shelf: Halves, id: string, text: string | undefined, document?: Stored): void {
    const length = text?.length ?? OF_NOTHING
    if (length > MAX_DOCUMENT) return forget(shelf, id)
    // The young half is asked first: what the old one has of this row is never found again.
    const entry = shelf.young.get(id)
    if (!entry) return add(shelf, id, { text: document ? undefined : text, document, size: length })
    size += length - entry.size
    entry.text = document ? undefined : text
    entry.document = document
    entry.size = length
  }

  return {
    shelf() {
      const shelf: Halves = { young: new Map(), old: new Map() }
      shelves.push(shelf)
      return {
        get(id) {
          const entry = find(shelf, id)
          if (!entry) return undefined
          if (entry.text === undefined) return entry.document ?? null
          entry.document = frozen(JSON.parse(entry.text) as Stored)
          entry.text = undefined
          return entry.document
        },
        keep: (id, text) => put(shelf, id, text),
        write(id, text, document) {
          unsettled.push({ shelf, id })
          if (text === undefined && document === undefined) forget(shelf, id)
          else put(shelf, id, text, document ?? undefined)
        }
      }
    },
    clear() {
      for (const shelf of shelves) {
        shelf.young.clear()
        shelf.old.clear()
      }
      entries = 0
      size = 0
    },
    written: () => unsettled.length,
    undo(from) {
      for (const { shelf, id } of unsettled.slice(from)) forget(shelf, id)
      unsettled.length = from
    },
    settle(writes) {
      if (writes === unsettled.length) unsettled = []
      else unsettled.splice(0, writes)
    }
  }
}
