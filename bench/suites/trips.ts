import { setTimeout as pause } from 'node:timers/promises'
import { type Candidate, gatewayOn, type Running } from '../candidates.ts'
import type { Installation } from '../gateway.ts'
import { startCountingProxy } from '../mongo/counting-proxy.ts'
import type { Trips } from '../mongo/trips.ts'
import { median } from '../statistics.ts'
import { requestsFor } from '../targets.ts'
import type { Suite } from './suite.ts'

/** Between two predictions: all users have had their turn only after the second for which a gateway asks nothing about them. */
const IN_USE_MS = 60
const PAUSES = 3
/** Longer than that second. */
const PAUSE_MS = 1_100
/** What nobody waits for has ended by then. */
const REST_MS = 500

/** How often a prediction waits for MongoDB. */
export const tripsSuite: Suite = {
  title: 'Round trips of a prediction on MongoDB',
  text: () =>
    'Commands on the wire between the gateway and MongoDB; what only keeps a connection is not counted. *In use:* all users ask in turn, ' +
    `${IN_USE_MS} ms after the answer to the one before, so that each comes back after more than a second to a gateway that others have used meanwhile; all have asked before, and sessions that are continued have begun. The median of one round of all users, and the mean, in which the looks are that the gateway takes twice a second. ` +
    `*After a pause:* the median of ${PAUSES} predictions of one user, ${PAUSE_MS} ms after each other, with nobody else there. ` +
    'In turn: the longest chain of commands of which each was sent after the one before was answered, which is what the client waits for and what the target is about: a look that is shared goes out beside others. *In the background:* what nobody waits for, entries and messages on their way to their own collections, ' +
    'of all predictions in use divided by their number; the more of them end within the same 50 ms, the fewer each.',
  metrics: [
    { key: 'commands', title: 'in use: commands', digits: 0 },
    { key: 'meanCommands', title: 'mean', digits: 1 },
    { key: 'inTurn', title: 'in turn', digits: 0 },
    { key: 'pausedCommands', title: 'after a pause: commands', digits: 0 },
    { key: 'pausedInTurn', title: 'in turn', digits: 0 },
    { key: 'background', title: 'in the background', digits: 1 }
  ],
  goals: [
    {
      what: 'round trips to MongoDB that a prediction on `/chat/predict` waits for, in use',
      metric: 'inTurn',
      of: 'gateway',
      atMost: 4,
      digits: 0
    },
    { what: 'the same, session continued', metric: 'inTurn', of: 'continued', atMost: 4, digits: 0 },
    { what: "the same on Flowise's own path", metric: 'inTurn', of: 'flowise-path', atMost: 4, digits: 0 }
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

  async measure(_bench, running, candidate) {
    const [first, ...others] = lanesOf(running, candidate)
    if (first === undefined) throw new Error('Nobody may ask.')
    const users = [first, ...others]
    await askAll(running, users, IN_USE_MS)
    const { commands, meanCommands, inTurn, background } = await askAll(running, users, IN_USE_MS)
    const paused = await askAll(
      running,
      Array.from({ length: PAUSES }, () => first),
      PAUSE_MS
    )
    return { commands, meanCommands, inTurn, pausedCommands: paused.commands, pausedInTurn: paused.inTurn, background }
  }
}

/** The trips of one of these predictions, asked one after the other. */
async function askAll({ trips }: Running, requests: readonly Request[], pauseMs: number) {
  if (trips === undefined) throw new Error('Nobody counts the round trips.')
  const seen: Trips[] = []
  let background = 0
  for (const request of requests) {
    await pause(pauseMs)
    background += trips.take().background
    await ask(request)
    seen.push(trips.take())
  }
  await pause(REST_MS)
  for (const rest of [...seen, trips.take()]) background += rest.background
  const commands = seen.map((one) => one.commands)
  return {
    commands: median(commands),
    meanCommands: commands.reduce((sum, one) => sum + one, 0) / commands.length,
    inTurn: median(seen.map((one) => one.inTurn)),
    background: background / requests.length
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

/** One request of each user. */
function lanesOf({ target }: Running, { keepsSession = false }: Candidate): Request[] {
  const connections = target.tokens.length
  const { url, lanes } = requestsFor(target, { flow: 'answer', isStream: false, connections, keepsSession })
  return lanes.map((lane) => new Request(url, { method: 'POST', ...lane }))
}

async function ask(request: Request): Promise<void> {
  const reply = await fetch(request.clone())
  const text = await reply.text()
  if (reply.status !== 200) throw new Error(`${request.url}: ${reply.status} ${text.slice(0, 300)}`)
}
