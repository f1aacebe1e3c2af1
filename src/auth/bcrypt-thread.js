import { parentPort } from 'node:worker_threads'
import { compareSync, hashSync } from 'bcryptjs'

/** @import { BcryptJob, BcryptReply } from './bcrypt.ts' */

// Entry point of the password thread (bcrypt.ts): one job at a time, so the synchronous calls are the right ones. JavaScript,
// because a thread that reads TypeScript has a compiler of its own in memory.
parentPort?.on('message', (/** @type {BcryptJob} */ job) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(work(job))
})

/**
 * @param {BcryptJob} job
 * @returns {BcryptReply}
 */
function work(job) {
  try {
    if (job.kind === 'hash') return { result: hashSync(job.password, job.cost) }
    return { result: compareSync(job.password, job.hash) }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : 'bcrypt failed' }
  }
}
