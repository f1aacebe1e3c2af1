import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { SeenRequest } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { idle, open, settled, stored } from './tools.ts'

const { echo, report } = DEMO_IDS
const PREDICT = '/api/v1/chat/predict'
/** Each way to ask, as path and body of a question in a session. */
const WAYS = [
  [PREDICT, (id: string) => ({ chatflow_id: echo, sessionId: id })],
  [`${PREDICT}/stream`, (id: string) => ({ chatflow_id: echo, session_id: id })],
  [PREDICT, (id: string) => ({ chatflow_id: echo, overrideConfig: { sessionId: id }, streaming: true })],
  [`/api/v1/prediction/${echo}`, (id: string) => ({ chatId: id })],
  [`/api/v1/prediction/${echo}`, (id: string) => ({ chatId: id, streaming: true })],
  [`/api/v1/prediction/${echo}`, (id: string) => ({ overrideConfig: { sessionId: id } })]
] as const
/** Clients made for Flowise are told in the stream. */
const FLOWISE_STREAM = WAYS[4]

async function start(t: Parameters<typeof startStreams>[0], env: Record<string, string> = {}) {
  const gateway = await startStreams(t, env)
  const { request, user } = gateway
  const ask = async (way: (typeof WAYS)[number], session: string, token = user.token) => {
    const [path, body] = way
    const reply = await request('POST', path, { token, body: { question: 'hi', ...body(session) } })
    return {
      ...reply,
      statusCode: reply.statusCode,
      code: reply.headers['x-gateway-code'] ?? (reply.statusCode === 200 ? 'ok' : JSON.parse(reply.body).code)
    }
  }
  return { ...gateway, ask }
}

const idsIn = (seen: SeenRequest | undefined) => {
  const { chatId, overrideConfig } = Object(seen?.body)
  return { chatId: String(chatId), sessionId: String(Object(overrideConfig).sessionId) }
}

t.test('one prediction per session at a time, on every way', async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user } = gateway
  for (const [index, way] of WAYS.entries()) {
    const session = `busy-${index}`
    standIn.next({ gates: { head: session } })
    const first = ask(way, session)
    await standIn.gate(session).reached
    const sent = standIn.predictions.length
    for (const other of WAYS) {
      const second = await ask(other, session)
      t.equal(second.code, 'session_busy')
      t.equal(second.statusCode, other === FLOWISE_STREAM ? 200 : 409)
      t.ok(Number(second.headers['retry-after']) >= 1)
    }
    t.equal(standIn.predictions.length, sent)
    t.equal((await ask(WAYS[0], `free-${index}`)).statusCode, 200, 'other sessions are not affected')
    standIn.gate(session).open()
    t.equal((await first).statusCode, 200)
    t.equal((await ask(way, session)).statusCode, 200, 'free again with the end')
  }
  await settled(t, gateway, user.id)
})

t.test('twenty at once in a new session: one runs', async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user } = gateway
  standIn.always({ gates: { head: 'all' } })
  const replies = Array.from({ length: 20 }, () => ask(WAYS[0], 'new'))
  await standIn.gate('all').reached
  standIn.gate('all').open()
  const codes = (await Promise.all(replies)).map(({ code }) => code)
  t.equal(codes.filter((code) => code === 'ok').length, 1)
  t.equal(codes.filter((code) => code === 'session_busy').length, 19)
  t.equal(standIn.predictions.length, 1)
  t.equal((await stored(gateway).messages('new')).length, 2)
  await settled(t, gateway, user.id)
})

t.test("someone else's session, and one's own of another chatflow, are unknown", async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user, createUser, request, admin } = gateway
  const other = await createUser({ grants: [echo, report] })
  t.equal((await ask(WAYS[0], 'theirs', other.token)).statusCode, 200)
  await request('POST', PREDICT, {
    token: user.token,
    body: { chatflow_id: report, question: 'hi', sessionId: 'reports' }
  })
  standIn.next({ gates: { head: 'running' } })
  const running = ask(WAYS[0], 'theirs', other.token)
  await standIn.gate('running').reached
  const sent = standIn.predictions.length
  const entries = (await stored(gateway).entries(user.id)).length
  for (const way of WAYS.slice(0, 3))
    for (const session of ['theirs', 'reports']) {
      const reply = await ask(way, session)
      t.equal(reply.code, 'session_not_found', 'not found rather than busy')
      t.equal(reply.statusCode, 404)
    }
  t.equal((await ask(WAYS[0], 'theirs', admin.token)).statusCode, 404, 'administrators too')
  for (const [method, url] of [
    ['GET', '/api/v1/chat/sessions/theirs/history'],
    ['DELETE', '/api/v1/chat/sessions/theirs'],
    ['POST', '/api/v1/chat/sessions/theirs/stop']
  ] as const)
    t.equal((await request(method, url, { token: user.token })).statusCode, 404, url)
  t.equal(standIn.predictions.length, sent)
  t.equal((await stored(gateway).entries(user.id)).length, entries)
  standIn.gate('running').open()
  t.equal((await running).statusCode, 200, 'what others ask does not disturb the owner')
  t.equal((await stored(gateway).messages('theirs')).length, 4)
})

t.test("on Flowise's path a name that is taken stands for a chat of one's own", async (t) => {
  const gateway = await start(t)
  const { ask, standIn, user, createUser, request } = gateway
  const other = await createUser({ grants: [echo, report], credits: 100 })
  await ask(WAYS[3], 'taken')
  const theirs = idsIn(standIn.predictions.at(-1))
  const mine: ReturnType<typeof idsIn>[] = []
  for (const way of WAYS.slice(3)) {
    t.equal((await ask(way, 'taken', other.token)).code, 'ok')
    mine.push(idsIn(standIn.predictions.at(-1)))
  }
  t.equal(new Set(mine.map(({ chatId }) => chatId)).size, 1, 'the same one each time')
  t.notSame(mine[0], theirs)
  const elsewhere = { token: user.token, body: { question: 'hi', chatId: 'taken' } }
  t.equal((await request('POST', `/api/v1/prediction/${report}`, elsewhere)).json().chatId, 'taken')
  t.notSame(idsIn(standIn.predictions.at(-1)), theirs, 'a chatflow has chats of its own')
  t.equal((await stored(gateway).messages('taken')).length, 2)
  const url = '/api/v1/chat/sessions/taken/history'
  t.equal((await request('GET', url, { token: other.token })).statusCode, 404)
})

t.test('a run left before its end gets the next one a new chatId and the same memory', async (t) => {
  const gateway = await start(t, { FIRST_BYTE_TIMEOUT_MS: '200', RESUME_SECONDS: '0' })
  const { ask, standIn, user, url } = gateway
  const next = async () => {
    await ask(WAYS[0], 's')
    return idsIn(standIn.predictions.at(-1))
  }
  const first = await next()
  t.same(await next(), first, 'a clean end keeps both')
  let before = first
  for (const fault of [
    { hang: true },
    { refuse: true },
    { events: [], end: 'cut' },
    { events: [['token', 'x']], end: 'cut' },
    {
      events: [
        ['token', 'x'],
        ['error', 'x']
      ]
    },
    { events: [['token', 'x']], end: 'none' }
  ] as const) {
    standIn.next(fault)
    await ask(WAYS[1], 's')
    t.equal(idsIn(standIn.predictions.at(-1)).chatId, before.chatId)
    const after = await next()
    t.equal(after.sessionId, first.sessionId)
    t.not(after.chatId, before.chatId, JSON.stringify(fault))
    before = after
  }
  standIn.next({ gates: { 1: 'left' } })
  const wire = open(`${url}${PREDICT}/stream`, { token: user.token, body: { question: 'hi', ...WAYS[0][1]('s') } })
  await standIn.gate('left').reached
  wire.leave()
  await standIn.waitFor(({ method }) => method === 'PUT')
  await idle(gateway)
  const after = await next()
  t.equal(after.sessionId, first.sessionId)
  t.not(after.chatId, before.chatId)
  await settled(t, gateway, user.id)
})

t.test('ids are minted per session, and new after deletion', async (t) => {
  const { ask, standIn, request, user } = await start(t)
  await ask(WAYS[0], 's')
  const first = idsIn(standIn.predictions.at(-1))
  await ask(WAYS[0], 'other')
  const other = idsIn(standIn.predictions.at(-1))
  t.equal((await request('DELETE', '/api/v1/chat/sessions/s', { token: user.token })).statusCode, 200)
  await ask(WAYS[0], 's')
  const second = idsIn(standIn.predictions.at(-1))
  t.equal(new Set([first, other, second].flatMap(Object.values)).size, 6, 'six different ids')
  const forgotten = await standIn.waitFor(({ method }) => method === 'DELETE')
  t.match(forgotten.url, `chatId=${first.chatId}`)
  t.match(forgotten.url, `sessionId=${first.sessionId}`)
})

t.test("Flowise's ids are in no reply, stream or history, and the client's in no request", async (t) => {
  const { ask, standIn, request, user } = await start(t)
  const seen: string[] = []
  for (const [index, way] of WAYS.entries()) {
    standIn.next({})
    seen.push((await ask(way, `client-${index}`)).body)
    seen.push((await request('GET', `/api/v1/chat/sessions/client-${index}/history`, { token: user.token })).body)
  }
  seen.push((await request('GET', '/api/v1/chat/sessions', { token: user.token })).body)
  seen.push((await request('GET', '/api/v1/chat/credits/transactions', { token: user.token })).body)
  const told = seen.join('\n')
  for (const { chatId, sessionId } of standIn.predictions.map(idsIn)) {
    t.notOk(told.includes(chatId))
    t.notOk(told.includes(sessionId))
  }
  t.notMatch(told, 'stored-1')
  t.notMatch(JSON.stringify(standIn.predictions), 'client-')
})

t.test('a session with a running prediction cannot be deleted', async (t) => {
  const { ask, standIn, request, user, ...gateway } = await start(t)
  await ask(WAYS[0], 's')
  await ask(WAYS[0], 'quiet')
  standIn.next({ gates: { head: 'busy' } })
  const running = ask(WAYS[0], 's')
  await standIn.gate('busy').reached
  for (const url of ['/api/v1/chat/sessions/s', '/api/v1/chat/history']) {
    const reply = await request('DELETE', url, { token: user.token })
    t.same([reply.statusCode, reply.json().code], [409, 'session_busy'])
    t.ok(Number(reply.headers['retry-after']) >= 1)
  }
  t.equal((await stored(gateway).messages()).length, 5, 'nothing was deleted')
  standIn.gate('busy').open()
  t.equal((await running).statusCode, 200)
  const reply = await request('DELETE', '/api/v1/chat/history', { token: user.token })
  t.match(reply.json(), { sessions_deleted: 2, messages_deleted: 6 })
})
