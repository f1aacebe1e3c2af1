import { setTimeout as pause } from 'node:timers/promises'
import type { Candidate, Running } from '../candidates.ts'
import { requestsFor } from '../targets.ts'
import type { Bench, Measured, Suite } from './suite.ts'

const CONNECTIONS = 64
const amountOf = (isQuick: boolean): number => (isQuick ? 3000 : 6000)
const PACED = { perSecond: 500, seconds: 2 }
/** What is done after the last answer belongs to the requests, too. */
const AFTER_MS = 300

/** Predictions with an answer in one piece. */
export const jsonSuite: Suite = {
  title: 'JSON predictions',
  text: (isQuick) =>
    `${amountOf(isQuick)} predictions per round over ${CONNECTIONS} connections, each connection as fast as it is answered; CPU is the time of all threads of the ` +
    `process, ${AFTER_MS} ms after the last answer. The added latency is measured apart, at ${PACED.perSecond} predictions per second, less the direct call's. ` +
    'Load: how busy the core of the load generator and of the stand-in was; near 100 % the requests per second are a lower bound.',
  metrics: [
    { key: 'cpu', title: 'CPU, µs per request', digits: 1, ratioTo: 'http-proxy' },
    { key: 'rate', title: 'requests/s', digits: 0, ratioTo: 'http-proxy' },
    { key: 'p50', title: 'p50, ms', digits: 2 },
    { key: 'p99', title: 'p99, ms', digits: 2 },
    { key: 'addedP50', title: 'added p50, ms', digits: 2, lessThe: 'direct' },
    { key: 'addedP99', title: 'added p99, ms', digits: 2, lessThe: 'direct' },
    { key: 'load', title: 'load, %', digits: 0 }
  ],
  without: [],
  isFresh: false,

  async warmUp(bench, running, candidate) {
    await bench.ask('saturate', { requests: requests(running, candidate), amount: amountOf(bench.isQuick) })
  },

  async measure(bench: Bench, running: Running, candidate: Candidate): Promise<Measured> {
    const amount = amountOf(bench.isQuick)
    const wanted = requests(running, candidate)
    const before = await running.ask?.('cpuMicros')
    const loadBefore = await loadMicros(bench)
    const { seconds, p50Ms, p99Ms } = await bench.ask('saturate', { requests: wanted, amount })
    const loadAfter = await loadMicros(bench)
    await pause(AFTER_MS)
    const after = await running.ask?.('cpuMicros')
    const { p50Ms: pacedP50, p99Ms: pacedP99 } = await bench.ask('paced', { requests: wanted, ...PACED })
    return {
      ...(before === undefined || after === undefined ? {} : { cpu: (after - before) / amount }),
      rate: amount / seconds,
      p50: p50Ms,
      p99: p99Ms,
      addedP50: pacedP50,
      addedP99: pacedP99,
      load: (loadAfter - loadBefore) / seconds / 10_000
    }
  }
}

function requests({ target }: Running, { keepsSession = false }: Candidate) {
  return requestsFor(target, { flow: 'answer', isStream: false, connections: CONNECTIONS, keepsSession })
}

async function loadMicros({ ask, askUpstream }: Bench): Promise<number> {
  return (await ask('cpuMicros')) + (await askUpstream('cpuMicros'))
}
