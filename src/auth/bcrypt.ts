import { Worker } from 'node:worker_threads'
import { AppError } from '../errors.ts'

/** The two slow steps of password handling, as a port: the thread below, or a cheaper one in tests. */
export interface Bcrypt {
  hash(password: string): Promise<string>
  compare(password: string, hash: string): Promise<boolean>
  close(): Promise<void>
}

/** One piece of work for the thread. */
export type BcryptJob =
  | { kind: 'hash'; password: string; cost: number }
  | { kind: 'compare'; password: string; hash: string }

export type BcryptReply = { result: string | boolean } | { failure: string }

/** Cost of new hashes; each step doubles the time of a guess. */
export const BCRYPT_COST = 10

interface Waiting {
  resolve(result: string | boolean): void
  reject(error: Error): void
}

/**
 * bcrypt in a thread of its own, started at the first use: on the main thread a handful of logins would hold up every
 * running stream, because bcryptjs computes in slices of up to 100 ms. Jobs are answered in the order they came.
 */
export function createBcryptThread(cost = BCRYPT_COST): Bcrypt {
  let worker: Worker | undefined
  let waiting: Waiting[] = []

  function abandon(cause: unknown): void {
    worker = undefined
    const abandoned = waiting
    waiting = []
    for (const job of abandoned) job.reject(new AppError('overloaded', {}, { cause }))
  }

  function start(): Worker {
    const thread = new Worker(new URL('./bcrypt-thread.js', import.meta.url))
    thread.unref()
    thread.on('message', (reply: BcryptReply) => {
      const job = waiting.shift()
      // An idle thread must not keep the process alive, a busy one must.
      if (waiting.length === 0) thread.unref()
      if ('failure' in reply) job?.reject(new Error(reply.failure))
      else job?.resolve(reply.result)
    })
    thread.on('error', abandon)
    return thread
  }

  function run(job: BcryptJob): Promise<string | boolean> {
    worker ??= start()
    worker.ref()
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(job)
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
  }

  return {
    hash: async (password) => String(await run({ kind: 'hash', password, cost })),
    compare: async (password, hash) => (await run({ kind: 'compare', password, hash })) === true,
    async close() {
      const thread = worker
      abandon(new Error('The password thread was closed.'))
      await thread?.terminate()
    }
  }
}
