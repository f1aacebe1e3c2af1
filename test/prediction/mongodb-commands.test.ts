import t, { type Test } from 'tap'
import { isPublication } from '../../bench/mongo/trips.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { openStore } from '../../src/store/open.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { type MongoServer, withMongo } from '../servers/mongodb.ts'
import type { Fate } from '../servers/wire-connection.ts'
import { startWireProxy } from '../servers/wire-proxy.ts'

/** Longer than the rows of users, logins, chatflows and grants are remembered. */
const PAUSE_MS = 1_000
const ROWS = ['find chatflows', 'find grants', 'find token_families', 'find users']
const HOLD = 'update accounts'
const ANSWER = 'update sessions'
const SETTLEMENT = 'findAndModify accounts'
const NEW = [HOLD, 'insert sessions', ANSWER, SETTLEMENT]
const CONTINUED = [HOLD, 'update sessions', ANSWER, SETTLEMENT]

/** A gateway whose commands are looked at, and a user who may ask it. */
async function start(t: Test, { url, database }: MongoServer) {
  const proxy = await startWireProxy(t, url)
  const store = await openStore({ dataDir: '', mongodb: { url: proxy.url, database } }, { mode: 'serve' })
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock, env: { DEFAULT_CREDITS: '10' }, parts: { store } })
  const { token } = await gateway.createUser({ grants: [DEMO_IDS.echo] })
  const world = { fateOf: (_command: string): Fate => 'pass' }

  /** The commands that the answer waited for. */
  async function ask(path: string, body: object): Promise<string[]> {
    const sent: string[] = []
    proxy.decide = (request) => {
      if (isPublication(request)) return 'pass'
      const command = `${request.command} ${request.collection}`
      sent.push(command)
      return world.fateOf(command)
    }
    const reply = await gateway.request('POST', path, { token, body })
    proxy.decide = () => 'pass'
    if (reply.statusCode !== 200) throw new Error(`${path}: ${reply.statusCode} ${reply.body}`)
    return sent
  }
  const predict = (sessionId?: string) =>
    ask('/api/v1/chat/predict', { chatflow_id: DEMO_IDS.echo, question: 'Why?', sessionId })
  const onFlowisesPath = (chatId?: string) => ask(`/api/v1/prediction/${DEMO_IDS.echo}`, { question: 'Why?', chatId })
  return { world, clock, predict, onFlowisesPath }
}

withMongo(t, 'a prediction sends MongoDB its four writes and nothing else', async (t, mongo) => {
  const { clock, predict, onFlowisesPath } = await start(t, mongo)
  t.same((await predict()).slice(-NEW.length), NEW, 'the first one reads besides')
  t.same(await predict(), NEW, 'a new session')
  t.same(await onFlowisesPath(), NEW, 'a new chat on the path of Flowise')

  t.same((await predict('named')).toSorted(), ['find prepared_chats', 'find sessions', ...NEW].toSorted())
  t.same(await predict('named'), CONTINUED, 'a session that goes on')
  t.equal((await onFlowisesPath('chat')).length, 6, 'a chat of that name may be there, or be prepared')
  t.same(await onFlowisesPath('chat'), CONTINUED, 'a chat that goes on')

  clock.advance(PAUSE_MS)
  const afterPause = await predict('named')
  t.same(afterPause.slice(0, ROWS.length).toSorted(), ROWS, 'who has been away is looked at again')
  t.same(afterPause.slice(ROWS.length), CONTINUED, 'the session is known for longer')
})

withMongo(t, 'what is looked at again takes two ways', async (t, mongo) => {
  const { world, clock, predict } = await start(t, mongo)
  await predict()
  clock.advance(PAUSE_MS)
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  const pairs = [ROWS.slice(2), ROWS.slice(0, 2)]
  const seen = new Set<string>()
  // Each is answered only after the other one has arrived.
  world.fateOf = (command) => {
    const index = pairs.findIndex((pair) => pair.includes(command))
    const gate = gates[index]
    if (gate === undefined) return 'pass'
    seen.add(command)
    if (pairs[index]?.every((one) => seen.has(one))) gate.resolve()
    return { delayRequest: gate.promise }
  }
  t.equal((await predict()).length, ROWS.length + NEW.length)
})
