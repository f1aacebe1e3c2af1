import type { RedoLog } from './redo-log.ts'
import type { Waiting } from './waiting.ts'
import type { Wal } from './wal.ts'

/** Syncs beside the event loop, one at a time for each file: what comes meanwhile shares the next. */
export interface Syncs {
  /** Makes durable what is in this redo log, as long as somebody waits for that. */
  log(log: RedoLog): void
  /** The database has committed something: it is made durable, too, with what this turn adds to those who wait. */
  committed(): void
  /** What was committed is durable by another way, or has to become so. */
  covered(): void
  /** Whether a sync of the database will end. */
  isAwaited(): boolean
  /** Resolves when nothing is left to sync. */
  finished(): Promise<void>
}

export interface SyncsOptions {
  waiting: Waiting
  wal: Wal | undefined
  /** The system tells a failure once, and the next sync would not know of it: what was added meanwhile is hit too. */
  onLogFailed(log: RedoLog): void
  onDatabaseFailed(error: unknown): void
  /** Before a sync of the database: what to do when it has succeeded. */
  onDatabaseSync(): () => void
  /** After each sync of the database; `isAll`: nothing was committed meanwhile. */
  onDatabaseSynced(isAll: boolean): void
}

/** Nothing is under way. */
export function createSyncs(options: SyncsOptions): Syncs {
  const { waiting, wal } = options
  const logs = new Set<RedoLog>()
  let isSyncing = false
  let isUnsynced = false
  let onFinished: (() => void)[] = []

  function syncLog(log: RedoLog): void {
    if (logs.has(log)) return
    const last = waiting.last(false)
    logs.add(log)
    log.sync((error) => {
      logs.delete(log)
      if (error) options.onLogFailed(log)
      else waiting.reach(last, log)
      if (waiting.needs(log)) syncLog(log)
      tell()
    })
  }

  function syncDatabase(): void {
    if (!wal || isSyncing || !isUnsynced) return
    const last = waiting.last(true)
    const release = options.onDatabaseSync()
    isSyncing = true
    isUnsynced = false
    wal.sync((error) => {
      isSyncing = false
      if (error) options.onDatabaseFailed(error)
      else {
        waiting.reach(last)
        release()
      }
      options.onDatabaseSynced(!error && !isUnsynced)
      syncDatabase()
      tell()
    })
  }

  function isFinished(): boolean {
    return !isSyncing && !isUnsynced && logs.size === 0
  }

  function tell(): void {
    if (!isFinished()) return
    for (const resolve of onFinished) resolve()
    onFinished = []
  }

  return {
    log: syncLog,
    committed() {
      isUnsynced = true
      queueMicrotask(syncDatabase)
    },
    covered() {
      isUnsynced = false
    },
    isAwaited: () => isSyncing || isUnsynced,
    async finished() {
      while (!isFinished()) await new Promise<void>((resolve) => onFinished.push(resolve))
    }
  }
}
