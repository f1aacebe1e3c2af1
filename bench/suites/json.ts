import {
  BASELINE,
  direct,
  gatewayOn,
  gatewaysOn,
  httpProxy,
  strangers,
  undiciDispatch,
  undiciRequest
} from '../candidates.ts'
import { AFTER_MS, answerMetrics, type AnswerPlan, answersOf, CONNECTIONS, measureAnswers } from './answers.ts'
import type { Suite } from './suite.ts'

const plan: AnswerPlan = {
  amountOf: (isQuick) => (isQuick ? 3000 : 6000),
  paced: { perSecond: 500, seconds: 2 }
}

/** What runs for weeks is measured as it is then: much of it is compiled for speed only after some ten thousand requests. */
const WARM_UP = 30_000

/** Predictions with an answer in one piece. */
export const jsonSuite: Suite = {
  title: 'JSON predictions',
  text: (isQuick) =>
    `${plan.amountOf(isQuick)} predictions per round over ${CONNECTIONS} connections, each connection as fast as it is answered; CPU is the time of all threads of the ` +
    `process, until ${AFTER_MS} ms after the last answer; each candidate has answered ${isQuick ? plan.amountOf(true) : WARM_UP} before. The added latency is measured apart, at ${plan.paced.perSecond} predictions per second, less the direct call's. ` +
    'Load: how busy the core of the load generator and of the stand-in was; near 100 % the requests per second are a lower bound.',
  metrics: answerMetrics(BASELINE),
  goals: [
    {
      what: 'CPU of a prediction on `/chat/predict`, of the bare proxy',
      metric: 'cpu',
      of: 'gateway',
      to: BASELINE,
      atMost: 0.9,
      digits: 2
    },
    {
      what: "CPU of a prediction on Flowise's own path",
      metric: 'cpu',
      of: 'flowise-path',
      to: BASELINE,
      atMost: 1,
      digits: 2
    },
    {
      what: `throughput of \`/chat/predict\` at ${CONNECTIONS} connections`,
      metric: 'rate',
      of: 'gateway',
      to: BASELINE,
      atLeast: 1.1,
      digits: 2
    },
    {
      what: "throughput of Flowise's own path",
      metric: 'rate',
      of: 'flowise-path',
      to: BASELINE,
      atLeast: 1.1,
      digits: 2
    }
  ],
  isFresh: false,

  async candidates({ upstreamUrl, folder, installation, portkey }) {
    const installed = await installation()
    const continued = {
      name: 'continued',
      title: 'the same, sessions continued',
      keepsSession: true,
      form: 'gateway'
    } as const
    const [gateway, flowisePath] = gatewaysOn(upstreamUrl, installed)
    return [
      gateway,
      gatewayOn(upstreamUrl, { ...continued, installation: installed }),
      flowisePath,
      httpProxy(upstreamUrl),
      undiciRequest(upstreamUrl),
      undiciDispatch(upstreamUrl),
      ...strangers({ upstreamUrl, folder }, portkey),
      direct(upstreamUrl)
    ]
  },

  async warmUp(bench, running, candidate) {
    await bench.ask('saturate', {
      requests: answersOf(running, candidate),
      amount: bench.isQuick ? plan.amountOf(true) : WARM_UP
    })
  },

  measure: (bench, running, candidate) => measureAnswers(bench, { running, candidate, plan })
}
