import t, { type Test } from 'tap'
import { createLocalBus } from '../../src/bus/local.ts'
import { createIds } from '../../src/ids.ts'
import { createHistory, sessionLease, type KnownChat } from '../../src/history/history.ts'
import type { MessageRow, SessionRow } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { openTempStore } from '../temp-store.ts'

function setUp(t: Test) {
  const store = openTempStore(t)
  const clock = createFakeClock()
  const bus = createLocalBus(clock)
  t.teardown(() => bus.close())
  const forgotten: KnownChat[] = []
  const history = createHistory({
    store,
    bus,
    ids: createIds(),
    removeFiles: async (userId, sessionId) => (userId === 'u1' && sessionId === 's1' ? 2 : 0),
    onDeleted: (rows) => void forgotten.push(...rows)
  })
  const messages = store.collection<MessageRow>('messages')

  /** Begins a turn in a session, new or not. */
  async function ask(sessionId: string, messageId: string, { userId = 'u1', chatflowId = 'c1', now = 1 } = {}) {
    const session = await history.session(sessionId)
    const upstream = session?.upstream ?? { sessionId: `up-${messageId}`, chatId: 'chat-1', usedChatIds: ['chat-1'] }
    const question = {
      sessionId,
      userId,
      chatflowId,
      messageId,
      question: `question ${messageId}`,
      upstreamOf: () => upstream,
      now,
      isNamed: true
    }
    const begun = await history.begin({ session, ...question })
    if (!begun) throw new Error('The turn did not begin')
    return begun.session
  }
  return { store, bus, history, messages, forgotten, ask }
}

const all = { after: undefined, limit: 100 }

t.test('a turn leaves a session and its two messages, in order', async (t) => {
  const { history, ask } = setUp(t)
  const session = await ask('s1', 'm1')
  t.strictSame(await history.session('s1'), session, 'what begin answers is what is stored')
  t.match(session, { topic: 'question m1', messageCount: 1, isUnclean: true, lastActivityAt: 1 })
  const answer = { messageId: 'm2', text: '[1,2]', status: 'complete', data: { json: { a: 1 } } } as const
  t.equal(await history.answer({ session, ...answer, isClean: true, now: 2 }), true)
  t.match(await history.session('s1'), { messageCount: 2, isUnclean: false, lastActivityAt: 2 })
  const second = await ask('s1', 'm3', { now: 3 })
  t.match(second, { messageCount: 3, isUnclean: true, topic: 'question m1' })
  const rows = await history.messagesOf('s1', all)
  t.match(rows, [
    { id: 'm1', role: 'user', position: 0, status: 'complete' },
    { id: 'm2', role: 'assistant', position: 1, content: '[1,2]', data: { json: { a: 1 } } },
    { id: 'm3', role: 'user', position: 2 }
  ])
})

t.test(
  'parts of an answer grow in place, the whole takes it, and a part that comes late changes nothing',
  async (t) => {
    const { history, ask } = setUp(t)
    const session = await ask('s1', 'm1')
    const soFar = (part: number, text: string) =>
      history.answerSoFar({
        session,
        messageId: 'm2',
        text,
        status: 'incomplete',
        data: { usedTools: [1] },
        part,
        now: 2
      })
    t.equal(await soFar(1, 'one'), true)
    t.equal(await soFar(3, 'one two three'), true)
    t.equal(await soFar(2, 'one two'), true)
    t.match(await history.messagesOf('s1', all), [{ id: 'm1' }, { id: 'm2', content: 'one two three', part: 3 }])
    const answer = { messageId: 'm2', text: 'one two three four', status: 'complete' } as const
    t.equal(await history.answer({ session, ...answer, isClean: true, now: 3 }), true)
    t.equal(await soFar(4, 'one'), true)
    const rows = await history.messagesOf('s1', all)
    t.equal(rows.length, 2)
    t.match(rows[1], { id: 'm2', content: 'one two three four', status: 'complete', position: 1 })
    t.strictSame([rows[1]?.part, rows[1]?.data], [undefined, undefined])
    t.match(await history.session('s1'), { messageCount: 2, isUnclean: false, lastActivityAt: 3 })
    await history.remove('u1', 's1')
    t.equal(await soFar(5, 'one'), false)
    t.strictSame(await history.messagesOf('s1', all), [])
  }
)

t.test('of two turns that begin at once in one session one wins, and the other stores nothing', async (t) => {
  const { history, ask, messages } = setUp(t)
  const begin = (session: SessionRow | undefined, messageId: string) =>
    history.begin({
      session,
      sessionId: 's1',
      userId: 'u1',
      chatflowId: 'c1',
      messageId,
      question: 'q',
      isNamed: true,
      upstreamOf: () => ({ sessionId: 'up-1', chatId: 'chat-1', usedChatIds: [] }),
      now: 1
    })
  const created = await Promise.all([begin(undefined, 'a1'), begin(undefined, 'a2')])
  t.equal(created.filter(Boolean).length, 1)
  const session = await history.session('s1')
  const resumed = await Promise.all([begin(session, 'b1'), begin(session, 'b2')])
  t.equal(resumed.filter(Boolean).length, 1)
  t.equal(await messages.count({ equal: { sessionId: 's1' } }), 2)
  await ask('s1', 'm9')
  t.match(await history.messagesOf('s1', all), [{ position: 0 }, { position: 1 }, { position: 2 }])
})

t.test('a repeated answer is stored once, also when another turn has begun since', async (t) => {
  const { history, ask } = setUp(t)
  const session = await ask('s1', 'm1')
  const answer = { session, messageId: 'm2', text: 'late', status: 'incomplete', isClean: false, now: 5 } as const
  await ask('s1', 'm3')
  t.equal(await history.answer(answer), true)
  t.equal(await history.answer(answer), true)
  t.strictSame(
    (await history.messagesOf('s1', all)).map(({ id, position }) => [id, position]),
    [
      ['m1', 0],
      ['m3', 1],
      ['m2', 2]
    ]
  )
  t.match(await history.session('s1'), { isUnclean: true }, 'the later run decides')
})

t.test('an answer that arrives after the deletion is not stored, not even when the id is in use again', async (t) => {
  const { history, ask, messages } = setUp(t)
  const session = await ask('s1', 'm1')
  await history.remove('u1', 's1')
  const answer = { session, messageId: 'm2', text: 'late', status: 'complete', isClean: true, now: 5 } as const
  t.equal(await history.answer(answer), false)
  await ask('s1', 'm3')
  t.equal(await history.answer(answer), false)
  t.strictSame(
    (await messages.list({ limit: 10 })).map(({ id }) => id),
    ['m3']
  )
})

t.test('a question without output is marked failed', async (t) => {
  const { history, ask } = setUp(t)
  const session = await ask('s1', 'm1')
  await history.failed({ session, userMessageId: 'm1', isClean: true })
  t.match(await history.messagesOf('s1', all), [{ id: 'm1', status: 'failed' }])
  t.match(await history.session('s1'), { isUnclean: false, messageCount: 1 })
})

t.test('texts above 1 MiB are cut and marked, data above 256 KiB is left out and marked', async (t) => {
  const { history, ask, messages } = setUp(t)
  const session = await ask('s1', 'm1')
  const text = 'é'.repeat(600_000)
  const data = { json: 'x'.repeat(300_000) }
  await history.answer({ session, messageId: 'm2', text, data, status: 'complete', isClean: true, now: 2 })
  const stored = await messages.get('m2')
  t.equal(stored?.content, 'é'.repeat(524_288))
  t.match(stored, { truncated: true, dataOmitted: true })
  t.notOk(stored && 'data' in stored)
})

t.test("somebody else's session is not found, in reading and in deleting", async (t) => {
  const { history, ask } = setUp(t)
  await ask('s1', 'm1')
  await t.rejects(history.owned('u2', 's1'), { code: 'session_not_found' })
  await t.rejects(history.remove('u2', 's1'), { code: 'session_not_found' })
  await t.rejects(history.remove('u1', 's2'), { code: 'session_not_found' })
  t.strictSame(await history.removeAll('u2'), { sessionsDeleted: 0, messagesDeleted: 0, filesDeleted: 0 })
  t.ok(await history.session('s1'))
})

t.test('sessions are listed newest first, by chatflow, page by page', async (t) => {
  const { history, ask } = setUp(t)
  await ask('s1', 'm1', { now: 1 })
  await ask('s2', 'm2', { now: 2, chatflowId: 'c2' })
  await ask('s3', 'm3', { now: 2 })
  await ask('s4', 'm4', { now: 3, userId: 'u2' })
  const ids = async (page: Parameters<typeof history.sessionsOf>[1]) =>
    (await history.sessionsOf('u1', page)).map(({ id }) => id)
  t.strictSame(await ids(all), ['s3', 's2', 's1'])
  t.strictSame(await ids({ after: { value: 2, id: 's3' }, limit: 1 }), ['s2'])
  t.strictSame(await ids({ ...all, chatflowId: 'c1' }), ['s3', 's1'])
})

t.test('deleting removes a long conversation whole and tells who must forget it', async (t) => {
  const { history, ask, messages, forgotten } = setUp(t)
  const session = await ask('s1', 'm1')
  const { userId, chatflowId } = session
  await Promise.all(
    Array.from({ length: 1100 }, (_, index) =>
      messages.insert({
        id: `x${index}`,
        sessionId: 's1',
        userId,
        chatflowId,
        role: 'assistant',
        content: '',
        status: 'complete',
        position: index + 1,
        createdAt: 1
      })
    )
  )
  await ask('s2', 'm2')
  t.strictSame(await history.remove('u1', 's1'), { messagesDeleted: 1101, filesDeleted: 2 })
  t.equal(await history.session('s1'), undefined)
  t.strictSame(
    (await messages.list({ limit: 10 })).map(({ id }) => id),
    ['m2']
  )
  t.strictSame(forgotten, [session])
})

t.test('a session in use is busy and nothing is deleted; afterwards it can be deleted', async (t) => {
  const { history, ask, bus, forgotten } = setUp(t)
  await ask('s1', 'm1')
  await ask('s2', 'm2')
  await bus.acquire(sessionLease('s2'), 'a run', 60_000)
  await t.rejects(history.remove('u1', 's2'), { code: 'session_busy' })
  await t.rejects(history.removeAll('u1'), { code: 'session_busy' })
  t.equal((await history.sessionsOf('u1', all)).length, 2)
  t.equal(await bus.acquire(sessionLease('s1'), 'another run', 1), true, 'the lease on the idle one was given back')
  await bus.release(sessionLease('s1'), 'another run')
  await bus.release(sessionLease('s2'), 'a run')
  t.strictSame(await history.removeAll('u1'), { sessionsDeleted: 2, messagesDeleted: 2, filesDeleted: 2 })
  t.equal(forgotten.length, 2)
})

t.test('a forced deletion takes sessions in use with it, and their runs store nothing more', async (t) => {
  const { history, ask, bus, messages } = setUp(t)
  const session = await ask('s1', 'm1')
  await bus.acquire(sessionLease('s1'), 'a run', 60_000)
  t.match(await history.removeAll('u1', { isForced: true }), { sessionsDeleted: 1, messagesDeleted: 1 })
  await history.answer({ session, messageId: 'm2', text: 'x', status: 'complete', isClean: true, now: 2 })
  await history.failed({ session, userMessageId: 'm1', isClean: true })
  t.equal(await messages.count({}), 0)
})

t.test('a deletion that was interrupted leaves the session, so that it can be repeated', async (t) => {
  const { history, ask, messages, store } = setUp(t)
  await ask('s1', 'm1')
  const interrupted = createHistory({
    store: {
      ...store,
      collection: (name) => ({
        ...store.collection(name),
        remove: async (id, guard) => {
          if (name === 'sessions') throw new Error('the process died here')
          return store.collection(name).remove(id, guard)
        }
      })
    },
    bus: createLocalBus(createFakeClock()),
    ids: createIds(),
    removeFiles: async () => 0,
    onDeleted: () => {}
  })
  await t.rejects(interrupted.remove('u1', 's1'), /died here/)
  t.equal(await messages.count({}), 0)
  t.match(await history.remove('u1', 's1'), { messagesDeleted: 0 })
  t.equal(await history.session('s1'), undefined)
})
