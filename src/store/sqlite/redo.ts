/** What was written since the last record of the redo log: a line for each row, as it is now. */
export interface Redo {
  put(collection: string, text: string): void
  remove(collection: string, id: string): void
  /** How many writes could be undone now. */
  written(): number
  /** Forgets all but the first so many. */
  undo(from: number): void
  /** All of it, for the log. */
  take(): string
}

/** Rows as the redo log brings them back. */
export interface Redone {
  /** Puts a document in its place, whether there was one or not. */
  put(collection: string, text: string): void
  remove(collection: string, id: string): void
}

const PUT = '='
const REMOVE = '-'

/** Nothing is written yet. JSON has no line breaks of its own, and names have no blanks. */
export function createRedo(): Redo {
  let lines: string[] = []
  return {
    put: (collection, text) => lines.push(`${PUT}${collection} ${text}\n`),
    remove: (collection, id) => lines.push(`${REMOVE}${collection} ${JSON.stringify(id)}\n`),
    written: () => lines.length,
    undo(from) {
      lines.length = from
    },
    take() {
      const text = lines.join('')
      lines = []
      return text
    }
  }
}

/** Writes once more what a record of the log says. */
export function redo(record: string, rows: Redone): void {
  for (const line of record.split('\n')) {
    if (line === '') continue
    const end = line.indexOf(' ')
    const collection = line.slice(1, end)
    const rest = line.slice(end + 1)
    if (line.startsWith(PUT)) rows.put(collection, rest)
    else rows.remove(collection, String(JSON.parse(rest)))
  }
}
