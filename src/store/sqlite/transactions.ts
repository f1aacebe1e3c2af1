import type { DatabaseSync } from 'node:sqlite'
import type { DocumentCache } from './cache.ts'
import type { Watch } from './connection.ts'
import { isRefused } from './errors.ts'
import { type Redo, type Redone, redo } from './redo.ts'
import { following, numberOf, type RedoLog } from './redo-log.ts'
import type { RedoLogs } from './redo-logs.ts'
import { createSyncs } from './syncs.ts'
import { createWaiting, type Kept } from './waiting.ts'
import type { Wal } from './wal.ts'

/** How long the database may lag behind the log. */
export const LAG_MS = 250
/** Writes per millisecond that are few: each batch of them goes into the database at once. */
const FEW_PER_MS = 0.02

/**
 * One transaction after the other. While there is much to write, one of them stays open for many batches, and a redo log makes
 * these durable: a page that changes with each batch is written once for all. No commit waits for the disk (ADR 27).
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
  /** Commits what is open, and takes leave of the redo logs. */
  end(): Promise<void>
}

/** What makes writes durable. */
export interface Logs {
  redo: RedoLogs
  wal: Wal
}

export interface TransactionsOptions {
  cache: DocumentCache
  watch: Watch
  lines: Redo
  redone: Redone
  /** Where there are none, a commit is all there is. */
  logs?: Logs | undefined
  /** Writes that may come at once and still be few. */
  few: number
}

/** The transactions of a connection. All functions throw as SQLite and the file system do. */
export function createTransactions(db: DatabaseSync, options: TransactionsOptions): Transactions {
  const { cache, watch, lines, redone, logs, few } = options
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const version = db.prepare('pragma user_version')
  const waiting = createWaiting(cache)
  const syncs = createSyncs({
    waiting,
    wal: logs?.wal,
    onLogFailed: saveLog,
    onDatabaseFailed: saveDatabase,
    onDatabaseSync() {
      const turns = logs?.redo.turns() ?? 0
      return () => logs?.redo.release(turns)
    },
    onDatabaseSynced(isAll) {
      if (isAll) logs?.wal.copy()
      if (isOverdue) commitInTime()
    }
  })
  let isOpen = false
  /** The log may have what the database lacks: at first, what a process that died has left. */
  let isBehind = logs !== undefined
  /** A commit has failed that a crash may bring back: until one is done, nobody knows what a record would come behind. */
  let isInDoubt = false
  /** A sync of the database has failed: what it shows may be gone after a crash. */
  let isUnsafe = false
  /** Of what was written last, and of what the database has committed. */
  let number = 0
  let committed = 0
  /** The last of the records that were taken back: a crash may bring them, and none of their numbers may be another's. */
  let lost: number | undefined
  let timer: NodeJS.Timeout | undefined
  let isOverdue = false
  let writesOfLate = 0
  let lastKept = 0

  function open(): void {
    notice()
    if (isUnsafe) rescue()
    if (isOpen) return
    begin.run()
    isOpen = true
    try {
      watch.look()
      if (!logs) return
      committed = numberOf(version.get()?.['user_version'])
      number = committed
      if (isBehind) bringIn(logs.redo)
      timer = setTimeout(commitInTime, LAG_MS).unref()
    } catch (error) {
      rollBack()
      isBehind = logs !== undefined
      throw error
    }
  }

  function bringIn(files: RedoLogs): void {
    for (const record of files.after(committed)) {
      redo(record.text, redone)
      number = record.number
    }
    files.wipe()
    isBehind = false
  }

  /** SQLite undoes a transaction by itself when memory or the disk fails a statement of it, and be it one that only reads. */
  function notice(): void {
    if (isOpen && !db.isTransaction) rollBack()
  }

  function rollBack(): void {
    close()
    if (logs?.redo.isUsed()) isBehind = true
    try {
      if (db.isTransaction) db.exec('rollback')
    } catch {
      // A connection that cannot even roll back refuses the next BEGIN too.
    }
  }

  function close(): void {
    clearTimeout(timer)
    isOpen = false
    isOverdue = false
  }

  /** The database has it all then, and soon the disk. `isMore`: also what is in no record. */
  function commitAll(isMore = false): void {
    if (!db.isTransaction) throw new Error('The transaction is undone')
    const reached = isMore ? following(lost ?? number) : number
    const isChanged = logs !== undefined && reached !== committed
    if (isChanged) db.exec(`pragma user_version=${reached}`)
    commitOnce()
    close()
    if (isMore) lost = undefined
    number = reached
    committed = reached
    waiting.commit()
    if (!isChanged) return
    logs.redo.turn()
    syncs.committed()
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
    // Both files are needed then, until the last commit is durable; or since a crash, and nothing will end that but a commit.
    isOverdue = logs?.redo.canTurn() === false && syncs.isAwaited()
    if (!isOpen || isOverdue) return
    try {
      commitAll()
    } catch {
      // No caller waits for this: the log has it all.
      rollBack()
    }
  }

  function saveDatabase(cause: unknown): void {
    isUnsafe = true
    try {
      rescue()
    } catch {
      waiting.fail(cause)
      rollBack()
    }
  }

  /** Brings everything to the disk by another way than the one that has failed. Until then no sync says anything. */
  function rescue(): void {
    if (!logs) return
    notice()
    try {
      if (isOpen) commitAll()
      logs.wal.checkpoint()
    } finally {
      syncs.covered()
    }
    isUnsafe = false
    waiting.reach(waiting.last(true))
    logs.redo.release(logs.redo.turns())
  }

  /** Nobody knows what of the log is on the disk, nor of what was added behind it: the database takes it all, or it is taken back. */
  function saveLog(log: RedoLog): void {
    if (!waiting.needs(log)) return
    waiting.distrust(log)
    // What was committed already waits for the database.
    if (!logs?.redo.isCurrent(log)) return
    const last = number
    try {
      open()
      commitAll()
    } catch (error) {
      lost = last
      waiting.lose(error)
      logs.redo.cut()
      rollBack()
    }
  }

  function isMuch(writes: number): boolean {
    const now = performance.now()
    writesOfLate = Math.max(0, writesOfLate - (now - lastKept) * FEW_PER_MS) + writes
    lastKept = now
    return writesOfLate > few
  }

  /** The file that has taken the record of these writes; undefined where the database has to. */
  function logged(writes: number, record: string): RedoLog | undefined {
    if (!logs || !isMuch(writes) || isInDoubt || lost !== undefined) return undefined
    return logs.redo.append(following(number), record)
  }

  return {
    open,
    keep(kept) {
      const writes = lines.written()
      const record = lines.take()
      logs?.wal.wrote(writes)
      const log = writes > 0 ? logged(writes, record) : undefined
      if (log) {
        number = following(number)
        waiting.addLogged(writes, kept, log)
        return syncs.log(log)
      }
      // One without writes says what it has read: it waits for those before it.
      if (writes > 0 || number === committed) commitAll(writes > 0)
      cache.settle(writes)
      waiting.addCommitted(kept, writes === 0 || !logs)
    },
    undo() {
      cache.undo(waiting.unsettled())
      lines.undo(0)
      rollBack()
    },
    written: lines.written,
    forget(from) {
      cache.undo(waiting.unsettled() + from)
      lines.undo(from)
    },
    catchUp() {
      notice()
      if (isUnsafe) rescue()
      if (!isBehind) return
      open()
      if (!logs?.redo.isUsed()) rollBack()
    },
    async end() {
      await syncs.finished()
      let isWhole = false
      try {
        notice()
        if (isUnsafe || isBehind) open()
        if (isOpen) commitAll()
        await syncs.finished()
        isWhole = !isUnsafe
      } finally {
        logs?.redo.close(isWhole)
        await logs?.wal.end()
      }
    }
  }
}
