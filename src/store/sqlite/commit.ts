import type { DatabaseSync } from 'node:sqlite'
import { AppError } from '../../errors.ts'
import { isOfStatement, portError } from './errors.ts'

/** A long batch would keep the event loop busy; the rest goes into the next transaction. */
const MAX_BATCH = 512

/** Writes that arrive together and are made durable together. */
export interface GroupCommit {
  /**
   * Runs `write` in the next transaction; resolves with its answer after the commit. `isCompound`: it has several statements,
   * of which a failure must leave none behind. @throws store_unavailable
   */
  add(write: () => boolean, isCompound: boolean): Promise<boolean>
  /** Resolves when nothing waits any more; later writes are refused. */
  end(): Promise<void>
}

interface Job {
  write: () => boolean
  isCompound: boolean
  resolve(applied: boolean): void
  reject(error: unknown): void
}

/**
 * Group commit over one connection: everything that was asked for in one turn of the event loop shares one transaction,
 * and so one fsync. setImmediate rather than a microtask or a timer: it runs after all sockets of the turn were read, without delay.
 */
export function createGroupCommit(db: DatabaseSync): GroupCommit {
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const answer = createAnswering(db)
  let queue: Job[] = []
  let isScheduled = false
  let hasEnded = false
  let onIdle: (() => void)[] = []

  function schedule(): void {
    if (isScheduled) return
    isScheduled = true
    setImmediate(flush)
  }

  function flush(): void {
    isScheduled = false
    const batch = queue.slice(0, MAX_BATCH)
    queue = queue.slice(MAX_BATCH)
    if (batch.length > 0) runBatch(batch)
    if (queue.length > 0) return schedule()
    for (const resolve of onIdle) resolve()
    onIdle = []
  }

  function runBatch(batch: Job[]): void {
    const answers: (() => void)[] = []
    try {
      begin.run()
      for (const job of batch) answers.push(answer(job))
      commit.run()
    } catch (cause) {
      rollBack(db)
      for (const job of batch) job.reject(new AppError('store_unavailable', {}, { cause }))
      return
    }
    for (const tell of answers) tell()
  }

  return {
    add(write, isCompound) {
      if (hasEnded)
        return Promise.reject(new AppError('store_unavailable', {}, { cause: new Error('The store is closed') }))
      return new Promise((resolve, reject) => {
        queue.push({ write, isCompound, resolve, reject })
        schedule()
      })
    },
    end() {
      hasEnded = true
      return new Promise((resolve) => {
        onIdle.push(resolve)
        schedule()
      })
    }
  }
}

/** Runs one write inside the open transaction; what it returns tells the caller, once the commit has succeeded. */
function createAnswering(db: DatabaseSync): (job: Job) => () => void {
  const mark = db.prepare('savepoint op')
  const release = db.prepare('release op')
  const undo = db.prepare('rollback to op')

  return ({ write, isCompound, resolve, reject }) => {
    if (isCompound) mark.run()
    try {
      const applied = write()
      if (isCompound) release.run()
      return () => resolve(applied)
    } catch (error) {
      // Disk full, I/O and the like may have ended the transaction already: nothing of the batch is certain then.
      if (!isOfStatement(error)) throw error
      if (isCompound) {
        undo.run()
        release.run()
      }
      return () => reject(portError(error))
    }
  }
}

function rollBack(db: DatabaseSync): void {
  try {
    if (db.isTransaction) db.exec('rollback')
  } catch {
    // The batch is refused in any case; a connection that cannot even roll back refuses the next BEGIN too.
  }
}
