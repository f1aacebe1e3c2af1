import { setTimeout as pause } from 'node:timers/promises'
import { gatewaysOn, httpProxy, type Running } from '../candidates.ts'
import { flows } from '../flows.ts'
import { requestsFor } from '../targets.ts'
import { type Bench, cpuDuring, type Measured, type Suite } from './suite.ts'

const openOf = (isQuick: boolean): number => (isQuick ? 500 : 2000)
const OPEN_MS = 3000
const WINDOW_MS = 3000
const { tokens, gapMs } = flows.slow
const MEGABYTE = 1_000_000

/** Many streams that have little to say, to their ends. */
export const crowdSuite: Suite = {
  title: 'Many open streams',
  text: (isQuick) =>
    `${openOf(isQuick)} streams open at once, each with a token every ${gapMs / 1000} s, ${tokens} in all, and its end. Resident memory as it is while all are open, without a ` +
    'collection. A stream has lost something when one of its tokens or its end did not arrive. A new process for each measurement.',
  metrics: [
    { key: 'rss', title: 'resident, MB', digits: 0 },
    { key: 'lost', title: 'streams that lost something', digits: 0 },
    { key: 'cpu', title: 'CPU, ms per second', digits: 0 }
  ],
  goals: [
    {
      what: '2,000 open, mostly idle streams: resident memory, `/chat/predict`',
      metric: 'rss',
      of: 'gateway',
      atMost: 300,
      unit: ' MB',
      digits: 0
    },
    { what: "the same on Flowise's own path", metric: 'rss', of: 'flowise-path', atMost: 300, unit: ' MB', digits: 0 },
    {
      what: 'streams of them that lost something, `/chat/predict`',
      metric: 'lost',
      of: 'gateway',
      atMost: 0,
      isWorst: true,
      digits: 0
    },
    { what: "the same on Flowise's own path", metric: 'lost', of: 'flowise-path', atMost: 0, isWorst: true, digits: 0 }
  ],
  isFresh: true,

  async candidates({ upstreamUrl, installation }) {
    return [...gatewaysOn(upstreamUrl, await installation()), httpProxy(upstreamUrl)]
  },

  async measure(bench: Bench, running: Running): Promise<Measured> {
    const connections = openOf(bench.isQuick)
    const requests = requestsFor(running.target, { flow: 'slow', isStream: true, connections })
    await bench.ask('open', { requests, overMs: OPEN_MS })
    const cpu = (await cpuDuring(running, () => pause(WINDOW_MS))) ?? Number.NaN
    const rss = (await running.ask?.('residentBytes')) ?? Number.NaN
    const { broken } = await bench.ask('finish', { tokens })
    return { rss: rss / MEGABYTE, lost: broken, cpu: cpu / WINDOW_MS }
  }
}
