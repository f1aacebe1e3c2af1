import { setTimeout as pause } from 'node:timers/promises'
import { type Candidate, gatewayOn, type Running } from '../candidates.ts'
import type { Installation } from '../gateway.ts'
import { startCountingProxy } from '../mongo/counting-proxy.ts'
import { median } from '../statistics.ts'
import { requestsFor } from '../targets.ts'
import type { Suite } from './suite.ts'

const amountOf = (isQuick: boolean): number => (isQuick ? 10 : 30)
const PAUSES = 3
/** Longer than a gateway remembers who asks. */
const PAUSE_MS = 1_100
/** What nobody waits for has ended by then. */
const REST_MS = 500

/** How often a prediction waits for MongoDB. */
export const tripsSuite: Suite = {
  title: 'Round trips of a prediction on MongoDB',
  text: (isQuick) =>
    `Commands on the wire between the gateway and MongoDB; what only keeps a connection is not counted. *In use:* the median of ${amountOf(isQuick)} predictions of one user, each asked as soon as the one before is answered, as a gateway sees the same users, logins, ` +
    `chatflows and grants again within a second; those rows are read again once a second, and a first turn of a session is not among those that continue one. *After a pause:* the median of ${PAUSES}, each ${PAUSE_MS} ms after the one before, with nobody else asking. ` +
    'In turn: the longest chain of commands of which each was sent after the one before was answered, which is what the client waits for. *In the background:* what nobody waits for, entries and messages on their way to their own collections, ' +
    'of all predictions in use divided by their number; the more of them end within the same time, the fewer each.',
  metrics: [
    { key: 'commands', title: 'in use: commands', digits: 0 },
    { key: 'inTurn', title: 'in turn', digits: 0 },
    { key: 'pausedCommands', title: 'after a pause: commands', digits: 0 },
    { key: 'pausedInTurn', title: 'in turn', digits: 0 },
    { key: 'background', title: 'in the background', digits: 1 }
  ],
  goals: [
    {
      what: 'round trips to MongoDB before the answer on `/chat/predict`, in use',
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
  },

  async measure({ isQuick }, running, candidate) {
    const paused = await askSome(running, candidate, { amount: PAUSES, pauseMs: PAUSE_MS })
    await askOnce(running, candidate)
    const inUse = await askSome(running, candidate, { amount: amountOf(isQuick), pauseMs: 0 })
    return { ...inUse, pausedCommands: paused.commands, pausedInTurn: paused.inTurn }
  }
}

/** The trips of one of these predictions. */
async function askSome(running: Running, candidate: Candidate, plan: { amount: number; pauseMs: number }) {
  const { trips } = running
  if (trips === undefined) throw new Error('Nobody counts the round trips.')
  const commands: number[] = []
  const inTurn: number[] = []
  let background = 0
  await pause(REST_MS)
  trips.take()
  for (let asked = 0; asked < plan.amount; asked += 1) {
    await pause(plan.pauseMs)
    background += trips.take().background
    await askOnce(running, candidate)
    const seen = trips.take()
    commands.push(seen.commands)
    inTurn.push(seen.inTurn)
    background += seen.background
  }
  await pause(REST_MS)
  background += trips.take().background
  return { commands: median(commands), inTurn: median(inTurn), background: background / plan.amount }
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
