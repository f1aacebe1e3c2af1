import type { DatabaseSync } from 'node:sqlite'
import type { DocumentCache } from './cache.ts'
import type { Watch } from './connection.ts'
import { isRefused } from './errors.ts'
import { type Redo, type Redone, redo } from './redo.ts'
import type { RedoLog } from './redo-log.ts'

/** How long the database may lag behind the log. */
export const LAG_MS = 250
/** Writes per millisecond that are few: each batch of them goes into the database at once. */
const FEW_PER_MS = 0.02
/** Commits are counted by a number of the database; of its bits, which may be anything, so many are used. */
const GENERATIONS = 0x7f_ff_ff_ff

/** Told once, when a batch is durable, or why it is not and never will be. */
export type Kept = (error?: unknown) => void

/**
 * One transaction after the other. While there is much to write, one of them stays open for many batches, and the redo log makes
 * these durable: a page that changes with each batch is written once for all (ADR 27).
 */
export interface Transactions {
  /** Begins one, if none is open, with what only the log has. */
  open(): void
  /** Makes durable what was written since the last time. When it throws, `undo` is due and `kept` is never told. */
  keep(kept: Kept): void
  /** Undoes what was written since then. */
  undo(): void
  /** How many writes that would undo. */
  written(): number
  /** The database has undone all but the first so many of them. */
  forget(from: number): void
  /** Makes sure that the database shows all that was written. */
  catchUp(): void
  /** Commits what is open, and takes leave of the log. */
  end(): Promise<void>
}

export interface TransactionsOptions {
  cache: DocumentCache
  watch: Watch
  lines: Redo
  redone: Redone
  /** Where there is none, each batch is committed. */
  log?: RedoLog | undefined
  /** Writes that may come at once and still be few. */
  few: number
}

/** A batch that is in the log, and perhaps not yet durable. */
interface Batch {
  writes: number
  kept: Kept
}

/** The transactions of a connection. All functions throw as SQLite and the file system do. */
export function createTransactions(db: DatabaseSync, options: TransactionsOptions): Transactions {
  const { cache, watch, lines, redone, log, few } = options
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const version = db.prepare('pragma user_version')
  let isOpen = false
  /** The log may have what the database lacks: at first, what a process that died has left. */
  let isBehind = log !== undefined
  /** A commit has failed that a crash may bring back: until one is done, nobody knows what the log would be applied to. */
  let isInDoubt = false
  let generation = 0
  let timer: NodeJS.Timeout | undefined
  /** What is in the log and perhaps not yet durable, the oldest first. */
  let logged: Batch[] = []
  let loggedWrites = 0
  /** Batches that were ever in the log, and those of them whose end is known. */
  let added = 0
  let told = 0
  let syncing: Promise<void> | undefined
  let writesOfLate = 0
  let lastKept = 0

  function open(): void {
    notice()
    if (isOpen) return
    begin.run()
    isOpen = true
    try {
      watch.look()
      if (!log) return
      generation = (Number(version.get()?.['user_version']) + 1) & GENERATIONS
      if (isBehind) for (const record of log.read(generation)) redo(record, redone)
      isBehind = false
      timer = setTimeout(commitInTime, LAG_MS).unref()
    } catch (error) {
      rollBack()
      isBehind = log !== undefined
      throw error
    }
  }

  /** SQLite undoes a transaction by itself when memory or the disk fails a statement of it, and be it one that only reads. */
  function notice(): void {
    if (isOpen && !db.isTransaction) rollBack()
  }

  function rollBack(): void {
    clearTimeout(timer)
    isOpen = false
    if (log?.isUsed()) isBehind = true
    try {
      if (db.isTransaction) db.exec('rollback')
    } catch {
      // A connection that cannot even roll back refuses the next BEGIN too.
    }
  }

  /** All that is in the log is durable then, and the log is over; `isMore`: and what is in no record. */
  function commitAll(isMore = false): void {
    if (!db.isTransaction) throw new Error('The transaction is undone')
    const isNext = log !== undefined && (isMore || log.isUsed())
    if (isNext) db.exec(`pragma user_version=${generation}`)
    commitOnce()
    isOpen = false
    clearTimeout(timer)
    if (isNext) log.restart()
    tell(added)
  }

  function commitOnce(): void {
    try {
      commit.run()
      isInDoubt = false
    } catch (error) {
      isInDoubt ||= !isRefused(error)
      throw error
    }
  }

  function commitInTime(): void {
    try {
      if (isOpen) commitAll()
    } catch {
      // No caller waits for this: the log has it all.
      rollBack()
    }
  }

  /** One at a time: batches that come meanwhile share the next. */
  function sync(file: RedoLog): void {
    const reached = added
    syncing = new Promise((resolve) => {
      file.sync((error) => {
        syncing = undefined
        if (!error) tell(reached)
        // What was added behind it may be hit too, and the next sync would not say so.
        else if (logged.length > 0) save(file)
        if (logged.length > 0) sync(file)
        resolve()
      })
    })
  }

  async function synced(): Promise<void> {
    if (!syncing) return
    await syncing
    return synced()
  }

  /** The batches up to this one are durable. */
  function tell(reached: number): void {
    for (const { writes, kept } of logged.splice(0, reached - told)) {
      told++
      loggedWrites -= writes
      cache.settle(writes)
      kept()
    }
  }

  /** Nobody knows what of the log is on the disk: the database takes it all, or it is taken back. */
  function save(file: RedoLog): void {
    try {
      open()
      commitAll()
    } catch (error) {
      lose(file, error)
    }
  }

  function lose(file: RedoLog, error: unknown): void {
    const lost = logged
    logged = []
    loggedWrites = 0
    told = added
    cache.undo(0)
    file.cut()
    rollBack()
    for (const { kept } of lost) kept(error)
  }

  function isMuch(writes: number): boolean {
    const now = performance.now()
    writesOfLate = Math.max(0, writesOfLate - (now - lastKept) * FEW_PER_MS) + writes
    lastKept = now
    return writesOfLate > few
  }

  return {
    open,
    keep(kept) {
      const writes = lines.written()
      const record = lines.take()
      if (!log || !isMuch(writes) || isInDoubt || !log.append(generation, record)) {
        commitAll(writes > 0)
        cache.settle(writes)
        return kept()
      }
      logged.push({ writes, kept })
      loggedWrites += writes
      added++
      if (!syncing) sync(log)
    },
    undo() {
      cache.undo(loggedWrites)
      lines.undo(0)
      rollBack()
    },
    written: lines.written,
    forget(from) {
      cache.undo(loggedWrites + from)
      lines.undo(from)
    },
    catchUp() {
      notice()
      if (!isBehind) return
      open()
      if (!log?.isUsed()) rollBack()
    },
    async end() {
      await synced()
      let isWhole = false
      try {
        notice()
        if (isBehind) open()
        if (isOpen) commitAll()
        isWhole = true
      } finally {
        log?.close(isWhole)
      }
    }
  }
}
