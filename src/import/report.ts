/** What became of one collection: each document that was read is imported, unchanged or skipped. */
export interface Counts {
  name: string
  read: number
  imported: number
  /** They were there already. */
  unchanged: number
  skipped: number
}

/** A document that was not taken, or not as it is. */
export interface Remark {
  collection: string
  /** In the source. */
  id: string
  reason: string
}

/** What an import did. */
export interface ImportReport {
  collections: Counts[]
  skipped: Remark[]
  /** Imported, but without something. */
  notes: Remark[]
  /** Remarks beyond the first hundred thousand of each kind. */
  omitted: number
}

/** Counts of one collection in the making. */
export interface Counter {
  read(): void
  imported(): void
  unchanged(): void
  skip(id: string, reason: string): void
  note(id: string, reason: string): void
}

/** Of each kind; whoever has more reads them after the first ones are put right. */
const MAX_REMARKS = 100_000

/** The report of one import; `onRead` is told of each document that was read. */
export function createReport(onRead: (name: string, count: number) => void) {
  const counts = new Map<string, Counts>()
  const report: ImportReport = { collections: [], skipped: [], notes: [], omitted: 0 }

  function remark(list: Remark[], one: Remark): void {
    if (list.length < MAX_REMARKS) list.push(one)
    else report.omitted++
  }

  return {
    counter(name: string): Counter {
      const own = counts.get(name) ?? { name, read: 0, imported: 0, unchanged: 0, skipped: 0 }
      counts.set(name, own)
      return {
        read: () => onRead(name, ++own.read),
        imported: () => void own.imported++,
        unchanged: () => void own.unchanged++,
        skip(id, reason) {
          own.skipped++
          remark(report.skipped, { collection: name, id, reason })
        },
        note: (id, reason) => remark(report.notes, { collection: name, id, reason })
      }
    },
    result: (): ImportReport => ({ ...report, collections: [...counts.values()] })
  }
}

export type Report = ReturnType<typeof createReport>
