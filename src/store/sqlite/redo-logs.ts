import { statSync } from 'node:fs'
import { createRedoLog, following, type RecordOfLog, type RedoLog } from './redo-log.ts'

/** Two files of records in turns: one is kept until the commit of its transaction is durable, while the other takes the next. */
export interface RedoLogs {
  /** Whether there may be records of the transaction that is open. */
  isUsed(): boolean
  /** Adds a record; answers its file, or undefined if none has room. */
  append(number: number, text: string): RedoLog | undefined
  /** Whether it is the file of the open transaction. */
  isCurrent(log: RedoLog): boolean
  /** What the database lacks that has come this far, in order; records are added behind it then. */
  after(number: number): RecordOfLog[]
  /** Spoils what was found at first and belongs to another history; once what belongs to this one is in its place. */
  wipe(): void
  /** Whether the next transaction has a file to begin with. */
  canTurn(): boolean
  /** The transaction is committed, and its file kept. */
  turn(): void
  /** How often that was, for `release`. */
  turns(): number
  /** What was committed until then is durable: its files are free. */
  release(turns: number): void
  /** Takes back what was not made durable of the open transaction. A crash may bring it back. */
  cut(): void
  /** Ends the use of the files; `isOver`: nobody needs what is in them. */
  close(isOver: boolean): void
}

/** The files of the logs of a database. */
export function logsOf(database: string): [string, string] {
  return [`${database}-redo`, `${database}-redo2`]
}

/** Whether somebody has left something there: who closes them empties them. */
export function hasLeft(database: string): boolean {
  return logsOf(database).some((path) => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0)
}

/** A file, and since which turn it is kept; 0 when it is free. */
interface Kept {
  log: RedoLog
  since: number
}

/** The logs of the database in this file. */
export function createRedoLogs(database: string, make: (path: string) => RedoLog = createRedoLog): RedoLogs {
  const [first, second] = logsOf(database)
  let current: Kept = { log: make(first), since: 0 }
  let other: Kept = { log: make(second), since: 0 }
  let turns = 0
  let isFirstLook = true
  let strange: RedoLog[] = []

  function swap(): void {
    const before = current
    current = other
    other = before
  }

  return {
    isUsed: () => current.since === 0 && current.log.isUsed(),
    append(number, text) {
      if (current.since > 0 && other.since === 0) swap()
      return current.since === 0 && current.log.append(number, text) ? current.log : undefined
    },
    isCurrent: (log) => current.since === 0 && current.log === log,
    after(number) {
      strange = []
      const found = [current, other].map((file) => ({ file, records: file.log.read() }))
      const records: RecordOfLog[] = []
      let reached = number
      for (;;) {
        const next = found.find((one) => one.records.some((record) => record.number === following(reached)))
        if (!next) break
        if (records.length > 0) current.since = ++turns
        if (next.file !== current) swap()
        records.push(...next.records.slice(next.records.findIndex((record) => record.number === following(reached))))
        reached = records.at(-1)?.number ?? reached
        found.splice(found.indexOf(next), 1)
      }
      for (const { file, records: read } of found) {
        if (isFirstLook && read.length > 0) strange.push(file.log)
        if (file.since === 0) file.log.restart()
      }
      return records
    },
    wipe() {
      for (const log of strange) log.wipe()
      strange = []
      isFirstLook = false
    },
    canTurn: () => other.since === 0,
    turn() {
      if (current.since > 0 || !current.log.isUsed()) return
      current.since = ++turns
      if (other.since === 0) swap()
    },
    turns: () => turns,
    release(until) {
      for (const file of [current, other]) {
        if (file.since === 0 || file.since > until) continue
        file.since = 0
        file.log.restart()
      }
    },
    cut: () => current.log.cut(),
    close(isOver) {
      current.log.close(isOver)
      other.log.close(isOver)
    }
  }
}
