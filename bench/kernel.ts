import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { Probe } from './probe.ts'
import type { Ask } from './rpc.ts'

const PAGE_BYTES = 4096

/** True where the kernel tells what a process uses, in nanoseconds: on Linux. */
export function tellsKernel(): boolean {
  return existsSync('/proc/self/schedstat')
}

/** What the probe would say, of a process without one: as the kernel counts it, over all threads. */
export function askKernel(pid: number): Ask<Probe> {
  const residentBytes = () => {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')
    return Number(pages) * PAGE_BYTES
  }
  const probe: Probe = {
    cpuMicros() {
      const threads = readdirSync(`/proc/${pid}/task`)
      return threads.reduce((sum, thread) => sum + threadMicros(pid, thread), 0)
    },
    rssBytes: async () => residentBytes(),
    residentBytes,
    keepCompiled() {}
  }
  // Both answer the same questions, one of them from another process.
  return (async (method: keyof Probe) => probe[method]()) as Ask<Probe>
}

function threadMicros(pid: number, thread: string): number {
  const [nanoseconds] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
  return Number(nanoseconds) / 1000
}
