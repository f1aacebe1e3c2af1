import { setTimeout as pause } from 'node:timers/promises'
import type { Running } from '../candidates.ts'
import { flows } from '../flows.ts'
import { requestsFor } from '../targets.ts'
import type { Bench, Measured, Suite } from './suite.ts'

const LANES = 64
const LOOP_SECONDS = 3
const OPEN_MS = 1500
const connectionsOf = (isQuick: boolean): number => (isQuick ? 200 : 500)
const windowMs = (isQuick: boolean): number => (isQuick ? 1500 : 3000)

/** Predictions as streams: opening them, and what each token costs while they run. */
export const streamSuite: Suite = {
  title: 'Streamed predictions',
  text: (isQuick) =>
    `First token and CPU per stream: ${LANES} clients, each opening one stream of ${flows.short.tokens} tokens (${flows.short.gapMs} ms apart) after the other for ${LOOP_SECONDS} s. CPU per token and gap: ` +
    `${connectionsOf(isQuick)} streams at once with ${1000 / flows.steady.gapMs} tokens per second each, the CPU over ${windowMs(isQuick) / 1000} s in which all of them run. ` +
    'The gap is the time between two tokens of a stream at the client. A stream that lacks a token or its end fails the whole bench.',
  metrics: [
    { key: 'cpuToken', title: 'CPU, µs per token', digits: 1, ratioTo: 'http-proxy' },
    { key: 'gap', title: 'gap p99, ms', digits: 1 },
    { key: 'addedGap', title: 'added gap p99, ms', digits: 2, lessThe: 'direct' },
    { key: 'firstP50', title: 'added first token p50, ms', digits: 2, lessThe: 'direct' },
    { key: 'firstP99', title: 'added first token p99, ms', digits: 2, lessThe: 'direct' },
    { key: 'cpuStream', title: 'CPU, µs per short stream', digits: 0, ratioTo: 'http-proxy' }
  ],
  without: ['gateway-continued'],
  isFresh: false,

  async warmUp(bench, running) {
    await bench.ask('loop', loopTask(running))
  },

  async measure(bench: Bench, running: Running): Promise<Measured> {
    return { ...(await measureLoop(bench, running)), ...(await measureSteady(bench, running)) }
  }
}

async function measureLoop(bench: Bench, running: Running): Promise<Measured> {
  const before = await running.ask?.('cpuMicros')
  const { streams, firstP50Ms, firstP99Ms } = await bench.ask('loop', loopTask(running))
  const after = await running.ask?.('cpuMicros')
  return {
    ...(before === undefined || after === undefined ? {} : { cpuStream: (after - before) / streams }),
    firstP50: firstP50Ms,
    firstP99: firstP99Ms
  }
}

async function measureSteady(bench: Bench, running: Running): Promise<Measured> {
  const { isQuick } = bench
  const { tokens } = flows.steady
  const connections = connectionsOf(isQuick)
  const requests = requestsFor(running.target, { flow: 'steady', isStream: true, connections })
  await bench.ask('open', { requests, overMs: OPEN_MS })
  const before = await running.ask?.('cpuMicros')
  const tokensBefore = await bench.ask('tokens')
  await pause(windowMs(isQuick))
  const after = await running.ask?.('cpuMicros')
  const delivered = (await bench.ask('tokens')) - tokensBefore
  const { gapP99Ms, broken } = await bench.ask('finish', { tokens })
  if (broken > 0) throw new Error(`${running.target.url}: ${broken} of ${connections} streams lost something.`)
  return {
    ...(before === undefined || after === undefined ? {} : { cpuToken: (after - before) / delivered }),
    gap: gapP99Ms,
    addedGap: gapP99Ms
  }
}

function loopTask({ target }: Running) {
  const requests = requestsFor(target, { flow: 'short', isStream: true, connections: LANES })
  const { tokens, gapMs } = flows.short
  return { requests, seconds: LOOP_SECONDS, overMs: tokens * gapMs, tokens }
}
