import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, settled } from './tools.ts'

const { echo } = DEMO_IDS
t.setTimeout(300_000)

const SSE = { accept: 'text/event-stream' }
const PATH = `/api/v1/prediction/${echo}`

async function start(t: Parameters<typeof startStreams>[0], env: Record<string, string> = {}) {
  const gateway = await startStreams(t, env)
  const { request, user } = gateway
  const ask = (body: unknown, headers: Record<string, string> = {}, token = user.token) =>
    request('POST', PATH, { body, headers, ...(token === '' ? {} : { token }) })
  const createPoorUser = async () => {
    const poor = await gateway.createUser({ grants: [echo] })
    const body = { amount: 0, note: 'empty', idempotency_key: `empty-${poor.id}` }
    await request('POST', `/api/v1/admin/users/${poor.id}/credits/set`, { token: gateway.admin.token, body })
    return poor
  }
  return { ...gateway, ask, createPoorUser }
}

/** What a failed stream says, and by which code programs know it. */
function streamed(t: Parameters<typeof startStreams>[0], { statusCode, headers, body }: LightMyRequestResponse) {
  t.equal(statusCode, 200)
  t.equal(headers['content-type'], 'text/event-stream', 'the whole value, as its clients compare it')
  t.match(
    body,
    /^message:\ndata:\{"event":"error","data":"[^"]+"\}\n\nmessage:\ndata:\{"event":"end","data":"\[DONE\]"\}\n\n$/
  )
  t.notMatch(body, /sk-1|10\.0\.0\.1|Flowise/)
  return [headers['x-gateway-code'], eventsOf(body)[0]?.data.data]
}

/** What a failure in one piece says. */
function told(t: Parameters<typeof startStreams>[0], reply: LightMyRequestResponse) {
  const { statusCode, headers, body } = reply
  const said = reply.json()
  t.match(headers['content-type'], /^application\/json/)
  t.match(said, { statusCode, status: statusCode, success: false, request_id: headers['x-request-id'] })
  t.equal(said.error, said.message, 'a text in `error` wins in the widget')
  t.equal(headers['x-gateway-code'], said.code)
  t.notMatch(body, /sk-1|10\.0\.0\.1|Flowise/)
  return [statusCode, said.code, said.message]
}

const AGAIN = 'Please try again in a moment.'
const FAULTS: [Fault, number, string, string][] = [
  [{ status: 500, body: 'sk-1' }, 502, 'upstream_error', `The assistant could not answer. ${AGAIN}`],
  [{ hang: true }, 503, 'upstream_timeout', `The assistant did not answer in time. ${AGAIN}`],
  [{ refuse: true }, 503, 'upstream_unavailable', `The assistant cannot be reached right now. ${AGAIN}`],
  [{ status: 404, body: '{}' }, 404, 'chatflow_not_found', 'This chat does not exist any more.']
]

t.test('a stream that fails before its first event is an error and an end', async (t) => {
  const gateway = await start(t, { FIRST_BYTE_TIMEOUT_MS: '200' })
  const { ask, standIn, user, createPoorUser } = gateway
  const faults: typeof FAULTS = [
    ...FAULTS,
    [{ events: [['error', 'sk-1']] }, 502, 'upstream_error', `The assistant could not answer. ${AGAIN}`]
  ]
  for (const [fault, , code, sentence] of faults) {
    standIn.next(fault)
    t.same(streamed(t, await ask({ question: 'hi', streaming: true })), [code, sentence])
  }
  t.same(streamed(t, await ask({ streaming: 'true' })), ['validation_error', 'question is required'])
  const poor = await createPoorUser()
  const broke = streamed(t, await ask({ question: 'hi', streaming: true }, {}, poor.token))
  t.same(broke, ['insufficient_credits', 'There are no credits left for this chat.'])
  await settled(t, gateway, user.id)
})

t.test('what cannot be parsed was to be streamed if the Accept header says so', async (t) => {
  const { ask, app } = await start(t, { MAX_BODY_MB: '1' })
  const json = { 'content-type': 'application/json' }
  const huge = JSON.stringify({ question: 'x'.repeat(1_100_000) })
  const broken: [string, string, string, number][] = [
    ['{', 'application/json', 'malformed_json', 400],
    ['x', 'text/plain', 'unsupported_media_type', 415],
    [huge, 'application/json', 'body_too_large', 413]
  ]
  for (const [body, type, code, status] of broken) {
    t.equal(streamed(t, await ask(body, { ...SSE, 'content-type': type }))[0], code)
    t.same(told(t, await ask(body, { 'content-type': type })).slice(0, 2), [status, code])
  }
  const plain = await ask(JSON.stringify({ question: 5 }), { ...json, ...SSE })
  t.same(told(t, plain).slice(0, 2), [422, 'validation_error'], 'a body that was read decides alone')
  t.equal(app.exchanges.size, 0)
})

t.test('401, 403 and 429 of a stream are a sentence in plain text', async (t) => {
  const { ask, createUser, request, user } = await start(t, { RATE_LIMIT_PER_MINUTE: '1' })
  const stranger = await createUser()
  const shown = async (reply: LightMyRequestResponse) => {
    t.equal(reply.headers['content-type'], 'text/plain; charset=utf-8')
    return [reply.statusCode, reply.headers['x-gateway-code'], reply.body]
  }
  const streaming = { question: 'hi', streaming: true }
  const unknown = await ask(streaming, SSE, '')
  t.same(await shown(unknown), [
    401,
    'not_authenticated',
    'You are not signed in. Please reload the page or sign in again.'
  ])
  t.equal(unknown.headers['www-authenticate'], 'Bearer')
  t.same(await shown(await ask(streaming, SSE, 'nonsense')), [
    401,
    'invalid_token',
    'Your access to this chat is not valid. Please reload the page or sign in again.'
  ])
  t.same(await shown(await ask(streaming, {}, stranger.token)), [
    403,
    'chatflow_forbidden',
    'You have no access to this chat.'
  ])
  t.equal((await ask(streaming, SSE)).statusCode, 200)
  const limited = await ask(streaming, SSE)
  t.same((await shown(limited)).slice(0, 2), [429, 'rate_limited'])
  t.match(limited.headers['retry-after'], /^\d+$/)
  // Before the body has been read nothing but the Accept header tells.
  t.same(told(t, await ask(streaming, {}, '')).slice(0, 2), [401, 'not_authenticated'])
  t.same(told(t, await request('POST', PATH, { token: user.token, body: streaming })).slice(0, 2), [
    429,
    'rate_limited'
  ])
})

t.test('a failure in one piece has its status, and a sentence under both names', async (t) => {
  const gateway = await start(t, { FIRST_BYTE_TIMEOUT_MS: '200' })
  const { ask, standIn, user, createUser, createPoorUser, request } = gateway
  for (const [fault, status, code, sentence] of FAULTS) {
    standIn.next(fault)
    t.same(told(t, await ask({ question: 'hi' })), [status, code, sentence])
  }
  const sent = standIn.predictions.length
  const unknown = await request('POST', '/api/v1/prediction/unknown', { token: user.token, body: { question: 'hi' } })
  t.same(told(t, unknown).slice(0, 2), [404, 'chatflow_not_found'])
  t.same(told(t, await ask({ question: 'hi', chatId: 5 })).slice(0, 2), [422, 'validation_error'])
  const poor = await createPoorUser()
  const broke = await ask({ question: 'hi' }, {}, poor.token)
  t.same(told(t, broke), [402, 'insufficient_credits', 'There are no credits left for this chat.'])
  t.match(broke.json(), { available: 0, held: 0, needed: 1, reason: 'insufficient_credits' })
  const stranger = await createUser()
  t.same(told(t, await ask({ question: 'hi' }, {}, stranger.token)).slice(0, 2), [403, 'chatflow_forbidden'])
  t.equal(standIn.predictions.length, sent)
  await settled(t, gateway, user.id)
})

t.test('who names problem+json gets the problem, whatever was asked for', async (t) => {
  const { ask } = await start(t)
  for (const accept of ['application/problem+json', 'text/event-stream, application/problem+json;q=0.5']) {
    const reply = await ask({ streaming: true }, { accept })
    t.equal(reply.statusCode, 422)
    t.match(reply.headers['content-type'], /^application\/problem\+json/)
    t.match(reply.json(), { error: 'validation_error', code: 'validation_error', status: 422, title: String })
  }
  told(t, await ask({}, { accept: 'application/*' }))
})

t.test('a page of another origin may read how it failed', async (t) => {
  const origin = 'https://shop.example'
  const { ask } = await start(t, { CORS_ORIGINS: origin })
  const reply = await ask({}, { origin })
  t.match(reply.headers['access-control-expose-headers'], /X-Request-Id.*X-Gateway-Code.*Retry-After/)
})
