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
const LOOK = 'find row_changes'
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

  for (let visit = 0; visit < 2; visit++) {
    clock.advance(PAUSE_MS)
    t.same(await predict('named'), [LOOK, ...CONTINUED], 'one look for all that may have changed in a pause')
  }
})

withMongo(t, 'user and login session are read at once', async (t, mongo) => {
  const { world, predict } = await start(t, mongo)
  const pair = ['find users', 'find token_families']
  const gate = Promise.withResolvers<void>()
  const seen = new Set<string>()
  // Each is answered only after the other one has arrived.
  world.fateOf = (command) => {
    if (!pair.includes(command)) return 'pass'
    if (seen.add(command).size === pair.length) gate.resolve()
    return { delayRequest: gate.promise }
  }
  t.same((await predict()).filter((command) => pair.includes(command)).toSorted(), pair.toSorted())
})
