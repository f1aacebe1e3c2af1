import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { settled, stored } from '../prediction/tools.ts'

const { echo, report } = DEMO_IDS
const COMPLETIONS = '/v1/chat/completions'
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

interface Sent {
  question: string
  history?: unknown
  uploads?: unknown
  overrideConfig: Record<string, unknown>
}

async function start(t: Test) {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser({ credits: 100, grants: [echo, report] })
  const said = (content: unknown, role = 'user') => ({ role, content })
  const ask = (content: unknown, { headers = {}, ...body }: Record<string, unknown> & { headers?: object } = {}) =>
    gateway.request('POST', COMPLETIONS, {
      token: user.token,
      body: { model: echo, messages: [said(content)], ...body },
      headers: { ...headers }
    })
  /** What Flowise was asked last. */
  const sent = () => gateway.standIn.predictions.at(-1)?.body as Sent
  const sessionOf = (reply: { json(): { gateway: { session_id: string } } }) => reply.json().gateway.session_id
  return { ...gateway, user, said, ask, sent, sessionOf }
}

t.test('every call stands alone, with what was said before as history', async (t) => {
  const gateway = await start(t)
  const { said, ask, sent, sessionOf } = gateway
  const first = await ask('one')
  const messages = [said('one'), said('answer', 'assistant'), said('two')]
  const second = await ask('', { messages, user: 'constant' })
  t.not(sessionOf(second), sessionOf(first))
  t.match(sent(), { question: 'two', history: [{ content: 'one' }, { role: 'apiMessage', content: 'answer' }] })
  const stored2 = await stored(gateway).messages(sessionOf(second))
  t.match(stored2, [{ role: 'user', content: 'two' }, { role: 'assistant' }], 'its own words are in the history')
  await settled(t, gateway, gateway.user.id)
})

t.test('a named conversation is remembered by the flow', async (t) => {
  const { said, ask, sent, sessionOf } = await start(t)
  const headers = { 'x-session-id': 'mine and only mine' }
  const first = await ask('one', { headers })
  const memory = sent().overrideConfig.sessionId
  const messages = [said('one'), said('answer', 'assistant'), said('two')]
  const second = await ask('', { messages, headers })
  t.equal(sessionOf(second), sessionOf(first))
  t.strictSame([sent().question, sent().history, sent().overrideConfig.sessionId], ['two', undefined, memory])
  const inBody = await ask('three', { metadata: { session_id: 'mine and only mine', other: 'x' } })
  t.equal(sessionOf(inBody), sessionOf(first), 'the member says the same as the header')
  const told = await ask('four', { headers: { 'x-session-id': sessionOf(first) } })
  t.equal(sessionOf(told), sessionOf(first), 'the id that replies tell is good as well')
  const other = await ask('five', { model: report, headers })
  t.equal(other.statusCode, 200, 'the same conversation with another model')
  t.not(sessionOf(other), sessionOf(first))
  t.match((await ask('six', { headers, metadata: { session_id: 'b' } })).json(), {
    error: { param: 'metadata.session_id' }
  })
})

t.test("somebody else's conversation is not to be had by its name or its id", async (t) => {
  const { createUser, request, ask, said, sessionOf } = await start(t)
  const headers = { 'x-session-id': 'talk' }
  const mine = sessionOf(await ask('mine', { headers }))
  const other = await createUser({ credits: 10, grants: [echo] })
  for (const name of ['talk', mine]) {
    const reply = await request('POST', COMPLETIONS, {
      token: other.token,
      body: { model: echo, messages: [said('theirs')] },
      headers: { 'x-session-id': name }
    })
    t.equal(reply.statusCode, 200)
    t.not(sessionOf(reply), mine)
  }
})

t.test('instructions reach the flow and are not taken for the words of the user', async (t) => {
  const gateway = await start(t)
  const { request, admin, said, ask, sent, sessionOf } = gateway
  const set = (body: object) => request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body })
  const messages = [said('Be brief.', 'system'), said('hello')]
  const reply = await ask('', { messages })
  t.equal(sent().question, 'Be brief.\n\nhello')
  t.match(await stored(gateway).messages(sessionOf(reply)), [{ content: 'hello' }, {}])
  t.match((await set({ system_messages: 'ignore' })).json(), { system_messages: 'ignore' })
  await ask('', { messages })
  t.equal(sent().question, 'hello')
  await set({ system_messages: 'refuse' })
  t.match((await ask('', { messages })).json(), { error: { type: 'invalid_request_error', param: 'messages' } })
  t.match((await set({ system_messages: null, override_allow: ['systemMessage'] })).json(), { system_messages: null })
  await ask('', { messages })
  t.match(sent(), { question: 'hello', overrideConfig: { systemMessage: 'Be brief.' } })
})

t.test('images and files go along, checked like all others', async (t) => {
  const gateway = await start(t)
  const { ask, sent, sessionOf, request, user } = gateway
  const image = (url: string) => ({ type: 'image_url', image_url: { url } })
  const text = { type: 'text', text: 'What is this?' }
  const reply = await ask([text, image(PIXEL)])
  t.match(sent(), { question: 'What is this?', uploads: [{ type: 'file', mime: 'image/png', data: PIXEL }] })
  const list = await request('GET', `/api/v1/chat/files/session/${sessionOf(reply)}`, { token: user.token })
  const [{ file_id }] = list.json().files
  await ask([text, { type: 'file', file: { file_id } }])
  t.match(sent(), { uploads: [{ mime: 'image/png', data: PIXEL }] }, 'a file of the gateway, by its id')
  t.match((await ask([text, image('data:image/png;base64,aGVsbG8=')])).json(), {
    error: { code: 'unsupported_media_type', type: 'invalid_request_error' }
  })
  t.match((await ask([text, { type: 'file', file: { file_id: 'nobody' } }])).json(), {
    error: { code: 'file_not_found' }
  })
  await settled(t, gateway, user.id)
})

t.test('a repeated key is the same answer, as JSON and as a stream', async (t) => {
  const { ask, standIn } = await start(t)
  const headers = { 'idempotency-key': 'once' }
  const first = await ask('hi', { headers })
  const again = await ask('hi', { headers })
  t.equal(again.headers['idempotency-replayed'], 'true')
  const { created: _first, ...told } = first.json()
  const { created: _again, ...retold } = again.json()
  t.strictSame(retold, told)
  const stream = await ask('hi', { headers, stream: true })
  t.match(stream.headers, { 'content-type': /^text\/event-stream/, 'idempotency-replayed': 'true' })
  t.match(stream.body, /"content":"Hello|"content":".*hi/)
  t.match(stream.body, /data: \[DONE\]\n\n$/)
  t.match((await ask('other', { headers })).json(), { error: { code: 'idempotency_mismatch' } })
  t.equal(standIn.predictions.length, 1)
})

t.test('tokens of an answer are told again when it is repeated', async (t) => {
  const { ask, standIn } = await start(t)
  const usageMetadata = { input_tokens: 11, output_tokens: 4, total_tokens: 15 }
  standIn.next({ answer: { agentFlowExecutedData: [{ nodeId: 'a', data: { output: { usageMetadata } } }] } })
  const headers = { 'idempotency-key': 'counted' }
  const usage = { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 }
  t.match((await ask('hi', { headers })).json(), { usage })
  t.match((await ask('hi', { headers })).json(), { usage })
  const stream = await ask('hi', { headers, stream: true, stream_options: { include_usage: true } })
  t.match(stream.body, `"usage":${JSON.stringify(usage)}`)
})

t.test('every refusal has the form that clients read, before and behind the route', async (t) => {
  const { request, user, admin } = await start(t)
  const post = (options: Parameters<typeof request>[2]) => request('POST', COMPLETIONS, options)
  const json = { 'content-type': 'application/json' }
  const cases = [
    [401, 'not_authenticated', await post({ body: {} })],
    [401, 'not_authenticated', await request('GET', '/v1/models')],
    [404, 'not_found', await request('GET', '/v1/engines', { token: user.token })],
    [404, 'not_found', await request('GET', `/v1/models/${'a'.repeat(2000)}`, { token: user.token })],
    [400, 'bad_request', await request('GET', '/v1/models/%zz', { token: user.token })],
    [404, 'not_found', await request('DELETE', '/v1/models/x', { token: admin.token })],
    [400, 'malformed_json', await post({ token: user.token, body: '{"model"', headers: json })],
    [415, 'unsupported_media_type', await post({ token: user.token, body: 'x', headers: { 'content-type': 'a/b' } })],
    [400, 'validation_error', await post({ token: user.token, body: { model: 5, messages: [] } })],
    [404, 'chatflow_not_found', await request('GET', '/v1/models/nobody', { token: user.token })]
  ] as const
  for (const [status, code, reply] of cases) {
    t.equal(reply.statusCode, status, code)
    t.match(reply.headers, { 'content-type': /^application\/json/, 'x-request-id': String }, code)
    t.match(reply.json(), { error: { code, message: String, type: String } }, code)
  }
  t.match((await post({ token: user.token, body: {} })).json(), { error: { param: 'model' } })
  const elsewhere = await request('GET', '/api/v1/v1/models', { token: user.token })
  t.match(elsewhere.json(), { status: 404, code: 'not_found' }, 'only at the root')
})

t.test('a key sees and asks its own chatflows alone', async (t) => {
  const { request, user, said } = await start(t)
  const made = await request('POST', '/api/v1/auth/api-keys', {
    token: user.token,
    body: { name: 'chat', scopes: ['chat'], chatflow_ids: [echo] }
  })
  t.equal(made.statusCode, 201)
  const token: string = made.json().api_key
  const models = (await request('GET', '/v1/models', { token })).json().data
  t.strictSame(
    models.map(({ id }: { id: string }) => id),
    [echo]
  )
  const ask = (model: string) => request('POST', COMPLETIONS, { token, body: { model, messages: [said('hi')] } })
  t.equal((await ask(echo)).statusCode, 200)
  t.match((await ask(report)).json(), {
    error: { type: 'permission_error', code: 'chatflow_forbidden', param: 'model' }
  })
  t.equal((await request('GET', `/v1/models/${report}`, { token })).statusCode, 403)
})

t.test('a stream has nothing that a parser of OpenAI could stumble over', async (t) => {
  const { ask } = await start(t)
  const { body, headers } = await ask('hi', { stream: true, stream_options: { include_usage: true } })
  t.match(headers, { 'content-type': /^text\/event-stream/, 'cache-control': /no-transform/ })
  const frames = body.split('\n\n').filter((frame) => frame !== '')
  t.equal(frames.pop(), 'data: [DONE]')
  for (const frame of frames) t.match(JSON.parse(frame.replace(/^data: /, '')), { object: 'chat.completion.chunk' })
  t.notMatch(body, /^(event|id):/m)
})
