import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { canPin } from './process.ts'

/** How much the machine had to do before the benchmark began: neighbours that the ratios are to survive. */
export function describeNeighbours(): string {
  const [load = 0] = loadavg()
  return `Load average before: ${load.toFixed(1)}.`
}

/** The machine and how the processes share it, in a sentence. */
export function describeMachine(): string {
  const processors = cpus()
  const model = processors[0]?.model.trim() ?? 'unknown processor'
  const memory = Math.round(totalmem() / 1024 ** 3)
  const pinned = canPin()
    ? 'The measured process had one core for itself, the load generator and the stand-in for Flowise shared another.'
    : 'The processes were not bound to cores.'
  return `${model}, ${processors.length} cores, ${memory} GiB, ${type()} ${release()}, Node ${process.versions.node}. ${pinned}`
}
