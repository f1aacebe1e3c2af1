import t, { type Test } from 'tap'
import { createLocalBus } from '../../src/bus/local.ts'
import { createHistory, type History } from '../../src/history/history.ts'
import { createKnownSessions } from '../../src/history/known-sessions.ts'
import { createIds } from '../../src/ids.ts'
import type { SessionRow } from '../../src/store/collections.ts'
import type { Document, Store } from '../../src/store/port.ts'
import { createFakeClock } from '../clock.ts'
import { openTempStore } from '../temp-store.ts'

const owner = { userId: 'u1', chatflowId: 'c1' }

/** Two processes over one store, where reading a session is counted; what they tell each other can be lost. */
function setUp(t: Test) {
  const real = openTempStore(t)
  const bus = createLocalBus(createFakeClock())
  t.teardown(() => bus.close())
  const world = { reads: 0, isLossy: false }
  const store: Store = {
    ...real,
    kind: 'mongodb',
    collection<D extends Document>(name: string) {
      const rows = real.collection<D>(name)
      return name === 'sessions' ? { ...rows, get: (id: string) => (world.reads++, rows.get(id)) } : rows
    }
  }
  const told = { ...bus, publish: (...news: [string, string]) => void (world.isLossy || bus.publish(...news)) }
  const start = () =>
    createHistory({ store, bus: told, ids: createIds(), removeFiles: async () => 0, onDeleted: () => {} })
  const stored = () => real.collection<SessionRow>('sessions').get('s1')
  return { world, here: start(), there: start(), stored }
}

let turns = 0

/** A question as the pipeline asks it; the chat id tells which session it went on with. */
async function ask(history: History, { userId, chatflowId } = owner) {
  const session = await history.sessionToContinue('s1', { userId, chatflowId })
  const begun = await history.begin({
    session,
    sessionId: 's1',
    userId,
    chatflowId,
    messageId: `q${++turns}`,
    question: 'Why?',
    isNamed: true,
    upstreamOf: (before) => ({
      ...(before?.upstream ?? { sessionId: `up-${turns}`, usedChatIds: [] }),
      chatId: `chat-${turns}`
    }),
    now: turns
  })
  return begun?.session
}

async function asked(history: History): Promise<SessionRow> {
  const session = await ask(history)
  if (!session) throw new Error('The turn did not begin')
  return session
}

async function turn(history: History, isClean = true) {
  const session = await asked(history)
  await history.answer({ session, messageId: `a${turns}`, text: '42', status: 'complete', isClean, now: turns + 1 })
}

const heard = () => new Promise((resolve) => setImmediate(resolve))

t.test('who goes on in the process that answered last reads nothing, and has what is stored', async (t) => {
  const { world, here, stored } = setUp(t)
  await turn(here)
  const { reads } = world
  for (const isClean of [true, false, true]) {
    await turn(here, isClean)
    t.same(await here.sessionToContinue('s1', owner), await stored())
    t.match(await stored(), { isUnclean: !isClean })
  }
  const session = await asked(here)
  const answer = { session, messageId: 'long', text: 'so', status: 'incomplete', now: 50 } as const
  await here.answerSoFar({ ...answer, part: 1 })
  await here.answer({ ...answer, text: 'so long', isClean: true })
  t.same(await here.sessionToContinue('s1', owner), await stored(), 'also when it was stored in parts')
  t.equal(world.reads, reads, 'nothing was read')
  t.match(await stored(), { messageCount: 10 })
})

t.test('nobody else is given what is known, and nothing is known of a turn that has no answer yet', async (t) => {
  const { world, here } = setUp(t)
  await turn(here)
  const { reads } = world
  for (const other of [
    { ...owner, userId: 'u2' },
    { ...owner, chatflowId: 'c2' }
  ])
    t.match(await here.sessionToContinue('s1', other), owner, 'as it is stored: the caller refuses it')
  await ask(here)
  t.match(await here.sessionToContinue('s1', owner), { isUnclean: true })
  t.equal(world.reads, reads + 3)
})

t.test('a session that goes on in another process is read again', async (t) => {
  const { world, here, there, stored } = setUp(t)
  await turn(here)
  await turn(there)
  await heard()
  const { reads } = world
  t.same(await here.sessionToContinue('s1', owner), await stored())
  t.equal(world.reads, reads + 1)
  await turn(here)
  await heard()
  t.same(await there.sessionToContinue('s1', owner), await stored())
})

t.test('where nobody tells, the guard does: the turn goes on from what is stored', async (t) => {
  const { world, here, there, stored } = setUp(t)
  world.isLossy = true
  await turn(here)
  await turn(there, false)
  const begun = await ask(here)
  t.same(begun, await stored())
  t.match(begun, { messageCount: 5, upstream: { chatId: `chat-${turns}` } })
  const rows = await here.messagesOf('s1', { after: undefined, limit: 9 })
  t.same(
    rows.map(({ position }) => position),
    [0, 1, 2, 3, 4]
  )
  const { reads } = world
  await turn(here)
  await turn(here)
  t.equal(world.reads, reads + 2, 'from now on it is read: others write to it unheard')
})

t.test('a session that was deleted unheard begins anew', async (t) => {
  const { world, here, there, stored } = setUp(t)
  world.isLossy = true
  await turn(here)
  const first = await stored()
  await there.remove('u1', 's1')
  t.match(await ask(here), { messageCount: 1 })
  t.not((await stored())?.upstream.sessionId, first?.upstream.sessionId)
})

t.test('a name that was given to somebody else unheard stays theirs', async (t) => {
  const { world, here, there } = setUp(t)
  world.isLossy = true
  await turn(here)
  await there.remove('u1', 's1')
  const theirs = await ask(there, { ...owner, userId: 'u2' })
  t.equal(await ask(here), undefined)
  t.same(await here.sessionToContinue('s1', owner), theirs, 'the caller refuses it')
})

t.test('a session that was deleted is forgotten everywhere', async (t) => {
  const { here, there } = setUp(t)
  await turn(here)
  await there.remove('u1', 's1')
  await heard()
  t.equal(await here.sessionToContinue('s1', owner), undefined)
})

t.test('what is known is bounded', async (t) => {
  const known = createKnownSessions({ publish() {}, subscribe: () => () => {} }, { maxSessions: 2 })
  const rows = ['a', 'b', 'c'].map((id): SessionRow => {
    const upstream = { sessionId: id, chatId: id, usedChatIds: [] }
    return { ...owner, id, upstream, topic: '', messageCount: 2, createdAt: 1, lastActivityAt: 1, isUnclean: false }
  })
  for (const row of rows) known.keep(row)
  t.same(
    rows.map(({ id }) => known.find(id, owner)?.id),
    [undefined, 'b', 'c']
  )
  known.distrust('b')
  for (const row of rows) known.keep(row)
  t.same(
    rows.map(({ id }) => known.find(id, owner)?.id),
    ['a', undefined, 'c'],
    'what was not to be trusted is only read'
  )
})
