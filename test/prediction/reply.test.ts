import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { settled, stored } from './tools.ts'

const { echo, research, report } = DEMO_IDS
const PREDICT = '/api/v1/chat/predict'

async function start(t: Parameters<typeof buildTestApp>[0], env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '100', ...env } })
  const user = await gateway.createUser({ grants: [echo, research, report] })
  const ask = (body: Record<string, unknown> = {}) =>
    gateway.request('POST', PREDICT, { token: user.token, body: { chatflow_id: echo, question: 'hi', ...body } })
  /** The reply to an answer of Flowise. */
  const answer = (fault: Fault, body: Record<string, unknown> = {}) => {
    gateway.standIn.next(fault)
    return ask(body)
  }
  const configure = async (body: Record<string, unknown>, id: string = echo) => {
    const reply = await gateway.request('PATCH', `/api/v1/admin/chatflows/${id}`, { token: gateway.admin.token, body })
    if (reply.statusCode !== 200) throw new Error(reply.body)
  }
  return { ...gateway, user, ask, answer, configure }
}

t.test('the reply has exactly the members of the contract', async (t) => {
  const gateway = await start(t)
  const { ask, user } = gateway
  const reply = await ask({ sessionId: 's1' })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers['content-type'], /^application\/json/)
  const body = reply.json()
  t.same(body, {
    response: 'hi',
    result: { text: 'hi', question: 'hi' },
    session_id: 's1',
    chatflow_id: echo,
    credits_charged: 1,
    credits_remaining: 99,
    message_id: body.message_id
  })
  const messages = await stored(gateway).messages('s1')
  t.same(
    messages.map(({ role, content, status }) => [role, content, status]),
    [
      ['user', 'hi', 'complete'],
      ['assistant', 'hi', 'complete']
    ]
  )
  t.equal(messages[1]?.id, body.message_id)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('response is text, whatever Flowise answers', async (t) => {
  const { answer } = await start(t)
  const response = async (members: unknown) => {
    const reply = await answer({ body: JSON.stringify(members) })
    return reply.statusCode === 200 ? reply.json().response : reply.json().code
  }
  t.equal(await response({ text: 'plain' }), 'plain')
  t.equal(await response({ text: '[{"event":"token"}]' }), '[{"event":"token"}]')
  t.equal(await response({ text: '', json: { a: 1 } }), '{"a":1}')
  t.equal(await response({ json: [1, 'x'] }), '[1,"x"]')
  t.equal(await response({ text: 'plain', json: { a: 1 } }), 'plain')
  t.equal(await response({ artifacts: [{ type: 'png', data: 'x' }] }), '')
  t.equal(await response({}), 'upstream_empty')
  t.equal(await response({ text: '' }), 'upstream_empty')
  t.equal(await response({ text: null, artifacts: [] }), 'upstream_empty')
  t.equal(await response({ sourceDocuments: [{}] }), 'upstream_empty')
})

const FULL = {
  text: 'T',
  json: { a: 1 },
  question: 'Q',
  sourceDocuments: [{ pageContent: 'p' }],
  artifacts: [{ type: 'png', data: 'd' }],
  fileAnnotations: [{ fileName: 'f' }],
  followUpPrompts: '["Why?"]',
  agentFlowExecutedData: [{ nodeId: 'n', nodeLabel: 'N', status: 'FINISHED', data: { input: 'secret' } }],
  agentReasoning: [{ messages: ['secret'] }],
  usedTools: [{ toolInput: 'secret' }],
  calledTools: [{ toolInput: 'secret' }],
  flowVariables: { secret: 1 },
  usageMetadata: { total_tokens: 1 },
  action: { id: 'a', data: { input: 'secret' } },
  executionId: 'e',
  chatId: 'upstream-chat',
  sessionId: 'upstream-session',
  memoryType: 'Buffer',
  chatMessageId: 'upstream-message'
}

t.test('result has the fields of the list, by default and as an administrator sets it', async (t) => {
  const { answer, configure } = await start(t)
  const fields = async () => Object.keys((await answer({ body: JSON.stringify(FULL) })).json().result).toSorted()
  const standard = ['artifacts', 'fileAnnotations', 'followUpPrompts', 'json', 'question', 'sourceDocuments', 'text']
  t.same(await fields(), standard)
  await configure({ response_fields: ['sourceDocuments', 'usedTools', 'executionId', 'unheard'] })
  const reply = await answer({ body: JSON.stringify(FULL) })
  t.same(reply.json().result, { sourceDocuments: FULL.sourceDocuments, usedTools: FULL.usedTools, executionId: 'e' })
  t.equal(reply.json().response, 'T')
  await configure({ response_fields: [] })
  t.same(await fields(), [])
  await configure({ response_fields: null })
  t.same(await fields(), standard)
  // Whether the list itself is refused or only without effect is the catalogue's business.
  await configure({ response_fields: ['text', 'chatId', 'sessionId', 'memoryType', 'chatMessageId'] }).catch(() => {})
  const hidden = await answer({ body: JSON.stringify(FULL) })
  t.notMatch(hidden.body, /upstream-|memoryType/)
})

t.test("the price is the chatflow's, else the default, and 0 is free without an entry", async (t) => {
  const gateway = await start(t, { DEFAULT_CHATFLOW_PRICE: '2.5' })
  const { ask, configure, user } = gateway
  t.match((await ask()).json(), { credits_charged: 2.5, credits_remaining: 97.5 })
  await configure({ price: 0.000001 })
  t.match((await ask()).json(), { credits_charged: 0.000001, credits_remaining: 97.499999 })
  const before = (await stored(gateway).entries(user.id)).length
  await configure({ price: 0 })
  t.match((await ask()).json(), { credits_charged: 0, credits_remaining: 97.499999 })
  t.equal((await stored(gateway).entries(user.id)).length, before)
  await configure({ price: null })
  t.match((await ask()).json(), { credits_charged: 2.5, credits_remaining: 94.999999 })
  await settled(t, gateway, user.id)
})

t.test('a failing Flowise is a status, costs nothing and leaves no answer', async (t) => {
  const gateway = await start(t, { FIRST_BYTE_TIMEOUT_MS: '150', MAX_ANSWER_MB: '0.01' })
  const { answer, user, standIn } = gateway
  const faults: [Fault, number, string][] = [
    [{ status: 401, body: '{"error":"Unauthorized Access"}' }, 502, 'upstream_error'],
    [{ status: 403, body: 'no' }, 502, 'upstream_error'],
    [{ status: 404, body: '{"message":"Chatflow x not found in the database!"}' }, 404, 'chatflow_not_found'],
    [{ status: 429, headers: { 'retry-after': '7' }, body: 'slow down' }, 502, 'upstream_error'],
    [{ status: 500, body: '{"message":"sk-secret http://10.0.0.1"}' }, 502, 'upstream_error'],
    [{ status: 500, body: '{"message":"sk-secret"}', cutAtByte: 20 }, 502, 'upstream_error'],
    [{ status: 302, headers: { location: 'http://10.0.0.1' }, body: '' }, 502, 'upstream_error'],
    [{ status: 204, body: '' }, 502, 'upstream_error'],
    [{ headers: { 'content-type': 'text/html' }, body: '<html>sk-secret' }, 502, 'upstream_error'],
    [{ headers: { 'content-type': 'text/plain' }, body: 'OK' }, 502, 'upstream_error'],
    [{ body: '{"text":"broken' }, 502, 'upstream_error'],
    [{ body: '' }, 502, 'upstream_error'],
    [{ body: '{"text":"half"}', cutAtByte: 10 }, 502, 'upstream_error'],
    [{ body: JSON.stringify({ text: 'x'.repeat(20_000) }) }, 502, 'upstream_too_large'],
    [{ refuse: true }, 503, 'upstream_unavailable'],
    [{ hang: true }, 503, 'upstream_timeout'],
    [{ body: '', end: 'open' }, 503, 'upstream_timeout']
  ]
  for (const [fault, status, code] of faults) {
    const { statusCode, body, headers } = await answer(fault)
    t.same([statusCode, JSON.parse(body).code], [status, code], JSON.stringify(fault).slice(0, 80))
    t.notMatch(body, /sk-secret|10\.0\.0\.1|Unauthorized Access|slow down/)
    t.equal(headers['retry-after'] !== undefined, status === 503)
    t.equal(headers.location, undefined)
  }
  t.equal(standIn.predictions.length, faults.length, 'each was sent once')
  const messages = await stored(gateway).messages()
  t.equal(messages.length, faults.length)
  t.ok(messages.every(({ role, status }) => role === 'user' && status === 'failed'))
  t.same(await stored(gateway).charges(user.id), [])
  t.equal((await stored(gateway).account(user.id))?.available, 100_000_000)
  await settled(t, gateway, user.id)
})

t.test('a Flowise that answers events although JSON was asked for', async (t) => {
  const gateway = await start(t)
  const { answer } = gateway
  const stream = (frames: string) => ({ headers: { 'content-type': 'text/event-stream' }, body: frames })
  const frame = (event: string, data: unknown) => `message:\ndata:${JSON.stringify({ event, data })}\n\n`
  const good = await answer(stream(frame('token', 'a') + frame('token', 'b') + frame('end', '[DONE]')))
  t.match(good.json(), { response: 'ab', credits_charged: 1 })
  const cut = await answer(stream(frame('token', 'a')))
  t.same([cut.statusCode, cut.json().code], [502, 'upstream_incomplete'])
})

t.test('MAX_ANSWER_MB lets an answer of its size through, and the history cuts at 1 MiB', async (t) => {
  const gateway = await start(t, { MAX_ANSWER_MB: '2' })
  const text = '🙂'.repeat(300_000)
  const reply = await gateway.answer({ body: JSON.stringify({ text }) }, { sessionId: 'long' })
  t.equal(reply.json().response, text)
  const history = await gateway.request('GET', '/api/v1/chat/sessions/long/history', { token: gateway.user.token })
  const answer = history.json().messages[1]
  t.equal(answer.truncated, true)
  t.equal(answer.content, '🙂'.repeat(262_144))
})

t.test('the tokens of a JSON answer are what a metered chatflow costs', async (t) => {
  const gateway = await start(t)
  const { answer, configure, user } = gateway
  await configure({ metered: { per_1k_tokens: 2, floor: 1, ceiling: 10 } })
  const nodes = [{ nodeId: 'a', data: { output: { usageMetadata: { total_tokens: 1500 } } } }]
  const reply = await answer({ body: JSON.stringify({ text: 'T', agentFlowExecutedData: nodes }) })
  t.match(reply.json(), { credits_charged: 3, credits_remaining: 97 })
  const entries = await stored(gateway).entries(user.id)
  t.equal(entries.find(({ kind }) => kind === 'charge')?.meta.isEstimated, false)
  const estimated = await answer({ body: JSON.stringify({ text: 'x'.repeat(4000) }) })
  t.match(estimated.json(), { credits_charged: 2 })
  await settled(t, gateway, user.id)
})

t.test('a slow prediction delays nobody else', async (t) => {
  const { ask, answer, standIn, request } = await start(t)
  const slow = answer({ gates: { head: 'slow' } })
  await standIn.gate('slow').reached
  t.equal((await ask()).statusCode, 200)
  t.equal((await request('GET', '/health')).statusCode, 200)
  standIn.gate('slow').open()
  t.equal((await slow).statusCode, 200)
})
