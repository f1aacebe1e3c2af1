import { setTimeout as pause } from 'node:timers/promises'
import { BASELINE, direct, gatewaysOn, httpProxy, type Running, undiciDispatch } from '../candidates.ts'
import { flows } from '../flows.ts'
import { requestsFor } from '../targets.ts'
import { type Bench, busyPercent, cpuDuring, loadDuring, type Measured, type Suite } from './suite.ts'

const LANES = 64
const LOOP_SECONDS = 4
/** As with answers in one piece: what runs for weeks is measured as it is after the first ten thousand. */
const WARM_UP = { lanes: 500, seconds: 20 }
const OPEN_MS = 1500
const connectionsOf = (isQuick: boolean): number => (isQuick ? 200 : 500)
const windowMs = (isQuick: boolean): number => (isQuick ? 1500 : 3000)
const perSecond = 1000 / flows.steady.gapMs
const cpuGoal = { metric: 'cpuToken', to: BASELINE, atMost: 1, digits: 2 } as const
const gapGoal = { metric: 'gap', less: 'direct', to: BASELINE, atMost: 2, digits: 2 } as const
const p50Goal = { metric: 'firstP50', less: 'direct', atMost: 2, unit: ' ms', digits: 2 } as const
const p99Goal = { metric: 'firstP99', less: 'direct', atMost: 10, unit: ' ms', digits: 2 } as const

/** Predictions as streams: opening them, and what each token costs while they run. */
export const streamSuite: Suite = {
  title: 'Streamed predictions',
  text: (isQuick) =>
    `First token and CPU per stream: ${LANES} clients, each opening one stream of ${flows.short.tokens} tokens, ${perSecond} per second, after the other for ${LOOP_SECONDS} s. CPU per token and gap: ` +
    `${connectionsOf(isQuick)} streams at once with ${perSecond} tokens per second each, the CPU over ${windowMs(isQuick) / 1000} s in which all of them run. ` +
    'The gap is the time between two tokens of a stream at the client. Before, each candidate has served ' +
    `${WARM_UP.lanes} such clients for ${isQuick ? LOOP_SECONDS : WARM_UP.seconds} s. ` +
    'Load: how busy the core of the client and of the stand-in was meanwhile. A stream that lacks a token or its end fails the whole bench.',
  metrics: [
    { key: 'cpuToken', title: 'CPU, µs per token', digits: 1, ratioTo: BASELINE },
    { key: 'gap', title: 'gap p99, ms', digits: 1 },
    { key: 'addedGap', title: 'added gap p99, ms', digits: 2, lessThe: 'direct' },
    { key: 'firstP50', title: 'added first token p50, ms', digits: 2, lessThe: 'direct' },
    { key: 'firstP99', title: 'added first token p99, ms', digits: 2, lessThe: 'direct' },
    { key: 'cpuStream', title: 'CPU, µs per short stream', digits: 0, ratioTo: BASELINE },
    { key: 'load', title: 'load, %', digits: 0 }
  ],
  goals: [
    { what: 'CPU per token on `/chat/predict`, of the bare proxy', of: 'gateway', ...cpuGoal },
    { what: "CPU per token on Flowise's own path", of: 'flowise-path', ...cpuGoal },
    { what: `added time to the first token at ${LANES} clients, p50, \`/chat/predict\``, of: 'gateway', ...p50Goal },
    { what: 'the same, p99', of: 'gateway', ...p99Goal },
    { what: "the same on Flowise's own path, p50", of: 'flowise-path', ...p50Goal },
    { what: 'the same, p99', of: 'flowise-path', ...p99Goal },
    { what: 'added gap, p99, `/chat/predict`, of what the bare proxy adds', of: 'gateway', ...gapGoal },
    { what: "the same on Flowise's own path", of: 'flowise-path', ...gapGoal }
  ],
  isFresh: false,

  async candidates({ upstreamUrl, installation }) {
    const gateways = gatewaysOn(upstreamUrl, await installation())
    return [...gateways, httpProxy(upstreamUrl), undiciDispatch(upstreamUrl), direct(upstreamUrl)]
  },

  async warmUp(bench, running) {
    const { lanes, seconds } = WARM_UP
    await bench.ask('loop', loopTask(running, lanes, bench.isQuick ? LOOP_SECONDS : seconds))
  },

  async measure(bench: Bench, running: Running): Promise<Measured> {
    return { ...(await measureLoop(bench, running)), ...(await measureSteady(bench, running)) }
  }
}

async function measureLoop(bench: Bench, running: Running): Promise<Measured> {
  const seen = { streams: 0, firstP50Ms: 0, firstP99Ms: 0 }
  const cpu = await cpuDuring(running, async () => {
    Object.assign(seen, await bench.ask('loop', loopTask(running)))
  })
  return {
    ...(cpu === undefined ? {} : { cpuStream: cpu / seen.streams }),
    firstP50: seen.firstP50Ms,
    firstP99: seen.firstP99Ms
  }
}

async function measureSteady(bench: Bench, running: Running): Promise<Measured> {
  const { isQuick } = bench
  const { tokens } = flows.steady
  const connections = connectionsOf(isQuick)
  const requests = requestsFor(running.target, { flow: 'steady', isStream: true, connections })
  await bench.ask('open', { requests, overMs: OPEN_MS })
  let loadMicros = 0
  const tokensBefore = await bench.ask('tokens')
  const cpu = await cpuDuring(running, async () => {
    loadMicros = await loadDuring(bench, () => pause(windowMs(isQuick)))
  })
  const delivered = (await bench.ask('tokens')) - tokensBefore
  const { gapP99Ms, broken } = await bench.ask('finish', { tokens })
  if (broken > 0) throw new Error(`${running.target.url}: ${broken} of ${connections} streams lost something.`)
  return {
    ...(cpu === undefined ? {} : { cpuToken: cpu / delivered }),
    gap: gapP99Ms,
    addedGap: gapP99Ms,
    load: busyPercent(loadMicros, windowMs(isQuick) / 1000)
  }
}

function loopTask({ target }: Running, connections = LANES, seconds = LOOP_SECONDS) {
  const requests = requestsFor(target, { flow: 'short', isStream: true, connections })
  const { tokens, gapMs } = flows.short
  return { requests, seconds, overMs: tokens * gapMs, tokens }
}
