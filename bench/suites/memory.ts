import { setTimeout as pause } from 'node:timers/promises'
import { BASELINE, gatewaysOn, httpProxy, type Running, undiciDispatch } from '../candidates.ts'
import { requestsFor } from '../targets.ts'
import type { Bench, Measured, Suite } from './suite.ts'

const WARM = 100
const openOf = (isQuick: boolean): number => (isQuick ? 500 : 1000)
const SETTLE_MS = 500
const KIB = 1024
const MIB = 1024 * 1024
const goal = { metric: 'perStream', to: BASELINE, atMost: 0.9, digits: 2 } as const

/** What a stream occupies that is open and silent. */
export const memorySuite: Suite = {
  title: 'Memory of open streams',
  text: (isQuick) =>
    `Resident memory with ${openOf(isQuick)} streams open that have had one token, less what the process had after ${WARM} streams that came and went, ` +
    'each time after a garbage collection. A new process for each measurement.',
  metrics: [
    { key: 'perStream', title: 'KiB per open stream', digits: 1, ratioTo: BASELINE },
    { key: 'rss', title: 'resident with all open, MiB', digits: 0 },
    { key: 'idle', title: 'resident before, MiB', digits: 0 }
  ],
  goals: [
    { what: 'memory per open stream on `/chat/predict`, of the bare proxy', of: 'gateway', ...goal },
    { what: "memory per open stream on Flowise's own path", of: 'flowise-path', ...goal }
  ],
  isFresh: true,

  async candidates({ upstreamUrl, installation }) {
    return [...gatewaysOn(upstreamUrl, await installation()), httpProxy(upstreamUrl), undiciDispatch(upstreamUrl)]
  },

  async measure(bench: Bench, running: Running): Promise<Measured> {
    const { ask } = running
    if (!ask) return {}
    await open(bench, running, WARM)
    await bench.ask('leave')
    await pause(SETTLE_MS)
    const before = await ask('rssBytes')
    const count = openOf(bench.isQuick)
    await open(bench, running, count)
    await pause(SETTLE_MS)
    const after = await ask('rssBytes')
    await bench.ask('leave')
    return { perStream: (after - before) / count / KIB, rss: after / MIB, idle: before / MIB }
  }
}

async function open(bench: Bench, { target }: Running, connections: number): Promise<void> {
  await bench.ask('open', {
    requests: requestsFor(target, { flow: 'idle', isStream: true, connections }),
    overMs: 1000
  })
}
