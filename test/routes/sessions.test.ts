import t from 'tap'
import { sessionLease } from '../../src/history/history.ts'
import { buildTestApp, type TestApp, type TestUser } from '../helper.ts'

const FORGET = /\/chatmessage\//

/** A conversation of one turn, as a prediction leaves it. */
async function converse({ app }: TestApp, { id: userId }: TestUser, sessionId: string, now: number) {
  const upstream = { sessionId: `up-${sessionId}`, chatId: `chat-2-${sessionId}`, usedChatIds: [`chat-1-${sessionId}`] }
  const question = {
    sessionId,
    userId,
    chatflowId: 'any',
    messageId: `${sessionId}-q`,
    question: 'Why?',
    isNamed: true,
    upstreamOf: () => upstream,
    now
  }
  const begun = await app.history.begin({ session: undefined, ...question })
  if (!begun) throw new Error('The session exists')
  const answer = { messageId: `${sessionId}-a`, text: '{"x":1}', data: { sourceDocuments: [{ page: 1 }] } }
  await app.history.answer({ session: begun.session, ...answer, status: 'complete', isClean: true, now: now + 1 })
}

t.test('sessions and their history are listed for their owner only, page by page', async (t) => {
  const test = await buildTestApp(t)
  const { request, createUser } = test
  const [owner, other] = [await createUser(), await createUser()]
  for (const [index, id] of ['s1', 's2', 's3'].entries()) await converse(test, owner, id, 1000 * (index + 1))
  const first = (await request('GET', '/api/v1/chat/sessions?limit=2', { token: owner.token })).json()
  t.strictSame(first.sessions[0], {
    session_id: 's3',
    chatflow_id: 'any',
    topic: 'Why?',
    created_at: '1970-01-01T00:00:03.000Z',
    last_activity_at: '1970-01-01T00:00:03.001Z',
    message_count: 2
  })
  t.equal(first.count, 2)
  const next = `/chat/sessions?limit=2&cursor=${first.next_cursor}`
  t.match((await request('GET', next, { token: owner.token })).json(), {
    sessions: [{ session_id: 's1' }],
    count: 1,
    next_cursor: null
  })
  const none = { sessions: [], count: 0, next_cursor: null }
  t.strictSame((await request('GET', '/chat/sessions', { token: other.token })).json(), none)
  t.strictSame((await request('GET', '/chat/sessions?chatflow_id=else', { token: owner.token })).json(), none)

  const history = (await request('GET', '/chat/sessions/s1/history', { token: owner.token })).json()
  t.strictSame(history, {
    session_id: 's1',
    messages: [
      {
        id: 's1-q',
        role: 'user',
        content: 'Why?',
        timestamp: '1970-01-01T00:00:01.000Z',
        status: 'complete',
        files: [],
        data: {}
      },
      {
        id: 's1-a',
        role: 'assistant',
        content: '{"x":1}',
        timestamp: '1970-01-01T00:00:01.001Z',
        status: 'complete',
        files: [],
        data: { sourceDocuments: [{ page: 1 }] }
      }
    ],
    count: 2,
    next_cursor: null
  })
  const page = (await request('GET', '/chat/sessions/s1/history?limit=1', { token: owner.token })).json()
  const rest = `/chat/sessions/s1/history?limit=1&cursor=${page.next_cursor}`
  t.match((await request('GET', rest, { token: owner.token })).json(), {
    messages: [{ id: 's1-a' }],
    next_cursor: null
  })

  for (const [method, url] of [
    ['GET', 's1/history'],
    ['DELETE', 's1'],
    ['GET', 'nobody/history'],
    ['DELETE', 'nobody']
  ] as const) {
    const reply = await request(method, `/api/v1/chat/sessions/${url}`, { token: other.token })
    t.match(reply.json(), { status: 404, code: 'session_not_found' })
  }
  t.equal((await request('GET', '/chat/sessions?cursor=x', { token: owner.token })).statusCode, 422)
})

t.test('deleting a session removes it and asks Flowise to forget every chat of it', async (t) => {
  const test = await buildTestApp(t)
  const { request, createUser, standIn } = test
  const owner = await createUser()
  await converse(test, owner, 's1', 1000)
  await converse(test, owner, 's2', 2000)
  const deleted = await request('DELETE', '/api/v1/chat/sessions/s1', { token: owner.token })
  t.match(deleted.json(), { message: String, session_id: 's1', messages_deleted: 2, files_deleted: 0 })
  t.equal((await request('GET', '/chat/sessions/s1/history', { token: owner.token })).statusCode, 404)
  t.match((await request('GET', '/chat/sessions', { token: owner.token })).json(), { count: 1 })
  await standIn.waitFor(({ url }) => url.includes('chat-2-s1'))
  const forgotten = standIn.requests.filter(({ method, url }) => method === 'DELETE' && FORGET.test(url))
  t.strictSame(
    forgotten.map(({ url }) => url),
    ['chat-1-s1', 'chat-2-s1'].map((chatId) => `/api/v1/chatmessage/any?chatId=${chatId}&sessionId=up-s1`)
  )
  t.equal(forgotten[0]?.headers.authorization, 'Bearer flowise-test-key')
})

t.test('Flowise being away does not keep anybody from deleting', async (t) => {
  const test = await buildTestApp(t)
  const owner = await test.createUser()
  await converse(test, owner, 's1', 1000)
  await test.standIn.close()
  t.equal((await test.request('DELETE', '/chat/sessions/s1', { token: owner.token })).statusCode, 200)
})

t.test('the whole history goes at once, unless a prediction is running in it', async (t) => {
  const test = await buildTestApp(t)
  const { app, request, createUser } = test
  const [owner, other] = [await createUser(), await createUser()]
  for (const id of ['s1', 's2']) await converse(test, owner, id, 1000)
  await converse(test, other, 's3', 1000)
  await app.bus.acquire(sessionLease('s2'), 'run', 60_000)
  for (const url of ['/chat/history', '/chat/sessions/s2']) {
    const busy = await request('DELETE', url, { token: owner.token })
    t.match(busy.json(), { status: 409, code: 'session_busy' })
    t.match(busy.headers, { 'retry-after': /^\d+$/ })
  }
  t.match((await request('GET', '/chat/sessions', { token: owner.token })).json(), { count: 2 })
  await app.bus.release(sessionLease('s2'), 'run')
  t.match((await request('DELETE', '/chat/history', { token: owner.token })).json(), {
    message: String,
    sessions_deleted: 2,
    messages_deleted: 4,
    files_deleted: 0
  })
  t.match((await request('DELETE', '/chat/history', { token: owner.token })).json(), { sessions_deleted: 0 })
  t.match((await request('GET', '/chat/sessions', { token: other.token })).json(), { count: 1 })
})
