import type { DatabaseSync } from 'node:sqlite'
import { AppError } from '../../errors.ts'
import { isOfStatement, portError } from './errors.ts'
import type { Transactions } from './transactions.ts'

/** A long batch would keep the event loop busy; the rest goes into the next transaction. */
const MAX_BATCH = 512

/** Writes that arrive together and are made durable together. */
export interface GroupCommit {
  /**
   * Runs `write` in the next transaction; resolves with its answer after the commit. `isCompound`: it has several statements,
   * of which a failure must leave none behind. It may be run again when the transaction was undone. @throws store_unavailable
   */
  add<T>(write: () => T, isCompound: boolean): Promise<T>
  /** Resolves when nothing waits any more; later writes are refused. */
  end(): Promise<void>
}

interface Job {
  write: () => unknown
  isCompound: boolean
  /** Takes what `write` answered. */
  resolve(answer: unknown): void
  reject(error: unknown): void
  answer: unknown
  hasFailed: boolean
}

/** Thrown where statements of a write were made before one failed: only a savepoint would have undone them alone. */
class HalfDone extends Error {}

/**
 * Group commit over one connection: everything that was asked for in one turn of the event loop is made durable together,
 * by one fsync. setImmediate rather than a microtask or a timer: it runs after all sockets of the turn were read, without delay.
 * When a transaction fails, what waits for the next fails with it: no write outlives one that was asked for before it.
 */
export function createGroupCommit(db: DatabaseSync, transactions: Transactions): GroupCommit {
  const runJob = createRunning(db, transactions)
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
    const isWhole = queue.length <= MAX_BATCH
    const batch = isWhole ? queue : queue.slice(0, MAX_BATCH)
    queue = isWhole ? [] : queue.slice(MAX_BATCH)
    if (batch.length > 0) runBatch(batch)
    if (queue.length > 0) return schedule()
    for (const resolve of onIdle) resolve()
    onIdle = []
  }

  function runBatch(batch: Job[]): void {
    try {
      writeAll(batch)
    } catch (cause) {
      refuse(batch, cause)
    }
  }

  function refuse(batch: Job[], cause: unknown): void {
    const behind = queue
    queue = []
    const error = new AppError('store_unavailable', {}, { cause })
    for (const job of [...batch, ...behind]) job.reject(error)
  }

  /** Savepoints cost more than all else a transaction adds: they are only set once it is known that one is needed. */
  function writeAll(batch: Job[]): void {
    try {
      runAll(batch, false)
    } catch (error) {
      if (!(error instanceof HalfDone)) throw error
      runAll(batch, true)
    }
  }

  function runAll(batch: Job[], isCareful: boolean): void {
    try {
      transactions.open()
      for (const job of batch) runJob(job, isCareful)
      transactions.keep((cause) => (cause === undefined ? answer(batch) : refuse(batch, cause)))
    } catch (error) {
      transactions.undo()
      throw error
    }
  }

  return {
    add<T>(write: () => T, isCompound: boolean) {
      if (hasEnded)
        return Promise.reject(new AppError('store_unavailable', {}, { cause: new Error('The store is closed') }))
      return new Promise<T>((resolve, reject) => {
        queue.push({
          write,
          isCompound,
          resolve,
          reject,
          answer: undefined,
          hasFailed: false
        })
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

function answer(batch: Job[]): void {
  for (const job of batch) {
    if (job.hasFailed) job.reject(job.answer)
    else job.resolve(job.answer)
  }
}

/** Runs one write inside the open transaction, and leaves its answer or its failure in the job. */
function createRunning(db: DatabaseSync, transactions: Transactions): (job: Job, isCareful: boolean) => void {
  const mark = db.prepare('savepoint op')
  const release = db.prepare('release op')
  const undo = db.prepare('rollback to op')

  return (job, isCareful) => {
    const isMarked = isCareful && job.isCompound
    const before = transactions.written()
    if (isMarked) mark.run()
    job.hasFailed = false
    try {
      job.answer = job.write()
    } catch (error) {
      // Disk full, I/O and the like may have ended the transaction already: nothing of the batch is certain then.
      if (!isOfStatement(error)) throw error
      if (job.isCompound && !isCareful) throw new HalfDone()
      if (isMarked) undo.run()
      transactions.forget(before)
      job.hasFailed = true
      job.answer = portError(error)
    }
    if (isMarked) release.run()
  }
}
