import { parentPort } from 'node:worker_threads'
import { compareSync, hashSync } from 'bcryptjs'
import type { BcryptJob, BcryptReply } from './bcrypt.ts'

// Entry point of the password thread (bcrypt.ts): one job at a time, so the synchronous calls are the right ones.
parentPort?.on('message', (job: BcryptJob) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(work(job))
})

function work(job: BcryptJob): BcryptReply {
  try {
    if (job.kind === 'hash') return { result: hashSync(job.password, job.cost) }
    return { result: compareSync(job.password, job.hash) }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : 'bcrypt failed' }
  }
}
