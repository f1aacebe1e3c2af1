import { BASELINE, type Candidate, gatewaysOn, httpProxy } from '../candidates.ts'
import { nameOfMongo } from '../mongo/server.ts'
import { answerMetrics, type AnswerPlan, answersOf, measureAnswers } from './answers.ts'
import type { Suite } from './suite.ts'

const PACED = { perSecond: 5, seconds: 4 }
/** More of them would wait in FerretDB until the gateway gives up. */
const connections = 16
const onServer: AnswerPlan = { connections, amountOf: (isQuick) => (isQuick ? 48 : 96), paced: PACED }
const beside: AnswerPlan = { connections, amountOf: (isQuick) => (isQuick ? 1500 : 3000), paced: PACED }
const ON_SERVER = ['gateway', 'flowise-path']
const planOf = ({ name }: Candidate): AnswerPlan => (ON_SERVER.includes(name) ? onServer : beside)

/** The same predictions with everything kept on MongoDB. */
export const mongodbSuite: Suite = {
  title: 'JSON predictions on MongoDB',
  text: (isQuick) =>
    `The server is ${nameOfMongo() ?? 'missing'}. As above, but over ${connections} connections, ${onServer.amountOf(isQuick)} predictions per round where the server takes part, ${beside.amountOf(isQuick)} otherwise, and ${PACED.perSecond} per second for the latency; the gateway on SQLite is in ` +
    'the same rounds. The server shares the core of the load and is slower than all the rest: requests per second and latency are its own, only the CPU is that of the gateway.',
  metrics: answerMetrics(BASELINE).map((metric) => (metric.lessThe === 'direct' ? withoutDirect(metric) : metric)),
  goals: [],
  isFresh: false,

  async candidates({ upstreamUrl, installation, mongoInstallation }) {
    const mongo = await mongoInstallation()
    if (mongo === undefined) return []
    const [gateway, flowisePath] = gatewaysOn(upstreamUrl, mongo)
    const [onSqlite] = gatewaysOn(upstreamUrl, await installation())
    const renamed = (candidate: Candidate, name: string, title: string): Candidate => ({ ...candidate, name, title })
    return [
      renamed(gateway, 'gateway', 'gateway, `/chat/predict`, on MongoDB'),
      renamed(flowisePath, 'flowise-path', "gateway, Flowise's own path, on MongoDB"),
      renamed(onSqlite, 'sqlite', 'gateway, `/chat/predict`, on SQLite'),
      httpProxy(upstreamUrl)
    ]
  },

  async warmUp(bench, running, candidate) {
    await bench.ask('saturate', {
      requests: answersOf(running, candidate, connections),
      amount: planOf(candidate).amountOf(bench.isQuick)
    })
  },

  measure: (bench, running, candidate) => measureAnswers(bench, { running, candidate, plan: planOf(candidate) })
}

function withoutDirect({ key, title, digits }: { key: string; title: string; digits: number }) {
  return { key, title: title.replace('added', `at ${PACED.perSecond}/s`), digits }
}
