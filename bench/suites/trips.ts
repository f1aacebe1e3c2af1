import { setTimeout as pause } from 'node:timers/promises'
import { type Candidate, gatewayOn, type Running } from '../candidates.ts'
import type { Installation } from '../gateway.ts'
import { startCountingProxy } from '../mongo/counting-proxy.ts'
import { median } from '../statistics.ts'
import { requestsFor } from '../targets.ts'
import type { Suite } from './suite.ts'

const amountOf = (isQuick: boolean): number => (isQuick ? 10 : 20)
/** What is written after the answer has ended by then. */
const AFTER_MS = 100

/** How often a prediction waits for MongoDB. */
export const tripsSuite: Suite = {
  title: 'Round trips of a prediction on MongoDB',
  text: (isQuick) =>
    `Commands on the wire between the gateway and MongoDB, the median of ${amountOf(isQuick)} predictions asked one after the other; what only keeps a connection is not counted. ` +
    'In turn: the longest chain of commands of which each was sent after the one before was answered, which is what the client waits for.',
  metrics: [
    { key: 'commands', title: 'commands before the answer', digits: 0 },
    { key: 'inTurn', title: 'in turn', digits: 0 },
    { key: 'after', title: 'commands after the answer', digits: 0 }
  ],
  goals: [
    {
      what: 'round trips to MongoDB before the answer on `/chat/predict`',
      metric: 'commands',
      of: 'gateway',
      atMost: 4,
      digits: 0
    },
    { what: 'the same, session continued', metric: 'commands', of: 'continued', atMost: 4, digits: 0 },
    { what: "the same on Flowise's own path", metric: 'commands', of: 'flowise-path', atMost: 4, digits: 0 }
  ],
  isFresh: false,

  async candidates({ upstreamUrl, mongoInstallation }) {
    const installation = await mongoInstallation()
    if (installation === undefined) return []
    const counted = (wanted: Omit<Candidate, 'start'>, form: 'gateway' | 'flowise'): Candidate => ({
      ...wanted,
      start: () => startCounted(upstreamUrl, { ...wanted, form, installation })
    })
    return [
      counted({ name: 'gateway', title: '`/chat/predict`, a new session' }, 'gateway'),
      counted({ name: 'continued', title: '`/chat/predict`, session continued', keepsSession: true }, 'gateway'),
      counted({ name: 'flowise-path', title: "Flowise's own path" }, 'flowise')
    ]
  },

  async warmUp(_bench, running, candidate) {
    await askOnce(running, candidate)
    await askOnce(running, candidate)
  },

  async measure({ isQuick }, running, candidate) {
    const before: number[] = []
    const inTurn: number[] = []
    const after: number[] = []
    for (let asked = 0; asked < amountOf(isQuick); asked += 1) {
      running.trips?.take()
      await askOnce(running, candidate)
      const trips = running.trips?.take()
      await pause(AFTER_MS)
      before.push(trips?.commands ?? Number.NaN)
      inTurn.push(trips?.inTurn ?? Number.NaN)
      after.push(running.trips?.take().commands ?? Number.NaN)
    }
    return { commands: median(before), inTurn: median(inTurn), after: median(after) }
  }
}

async function startCounted(
  upstreamUrl: string,
  { installation, ...wanted }: Omit<Candidate, 'start'> & { form: 'gateway' | 'flowise'; installation: Installation }
): Promise<Running> {
  const { mongo } = installation
  if (mongo === undefined) throw new Error('There are no round trips without MongoDB.')
  const proxy = await startCountingProxy(mongo)
  const running = await gatewayOn(upstreamUrl, {
    ...wanted,
    installation: { ...installation, mongo: proxy.place }
  }).start()
  return {
    ...running,
    trips: proxy,
    async stop() {
      await running.stop()
      proxy.close()
    }
  }
}

async function askOnce({ target }: Running, { keepsSession = false }: Candidate): Promise<void> {
  const { url, lanes } = requestsFor(target, { flow: 'answer', isStream: false, connections: 1, keepsSession })
  const reply = await fetch(url, { method: 'POST', ...lanes[0] })
  const text = await reply.text()
  if (reply.status !== 200) throw new Error(`${url}: ${reply.status} ${text.slice(0, 300)}`)
}
