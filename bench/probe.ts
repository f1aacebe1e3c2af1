import { flushCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { serve } from './rpc.ts'

/** What every process of the benchmark tells about itself; loaded with `--import`, in front of the program. */
export interface Probe {
  /** CPU time so far, user and system, of all threads. */
  cpuMicros(): number
  /** Resident memory after a full collection, where there is one. */
  rssBytes(): Promise<number>
  /** Resident memory as it is. */
  residentBytes(): number
  /** Stores what was compiled for the next process; the gateway does so by itself when it ends. */
  keepCompiled(): void
}

serve<Probe>({
  cpuMicros() {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  async rssBytes() {
    setFlagsFromString('--expose-gc')
    const collect: unknown = runInNewContext('gc')
    if (typeof collect !== 'function') throw new Error('This Node offers no garbage collection on demand.')
    // Twice: the first one runs the finalizers whose memory only the second gets back.
    for (let turn = 0; turn < 2; turn += 1) {
      collect()
      await new Promise((resolve) => setImmediate(resolve))
    }
    return process.memoryUsage.rss()
  },
  residentBytes: () => process.memoryUsage.rss(),
  keepCompiled: () => flushCompileCache()
})
// The program alone decides how long the process lives.
process.channel?.unref()
