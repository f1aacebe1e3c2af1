import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp, type TestApp } from '../helper.ts'
import { stored } from './tools.ts'

const { echo, report } = DEMO_IDS
const PATHS = ['/api/v1/chat/predict', '/api/v1/chat/predict/stream'] as const

/** A request that everything is wrong with; each test mends it up to the check it is about. */
async function start(t: Parameters<typeof buildTestApp>[0], env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '0', ...env } })
  const user = await gateway.createUser({ grants: [echo] })
  const other = await gateway.createUser({ grants: [echo], credits: 10 })
  await send(gateway, PATHS[0], other.token, { chatflow_id: echo, question: 'hi', sessionId: 'of-other' })
  return { ...gateway, user, other }
}

async function send(
  { request }: Pick<TestApp, 'request'>,
  path: string,
  token: string | undefined,
  body: unknown,
  headers: Record<string, string> = {}
) {
  const reply = await request('POST', path, { ...(token === undefined ? {} : { token }), body, headers })
  return [reply.statusCode, reply.statusCode === 200 ? 'ok' : JSON.parse(reply.body).code]
}

t.test('of two reasons for a refusal the earlier check is told', async (t) => {
  const gateway = await start(t)
  const { user, admin, standIn } = gateway
  const sent = standIn.predictions.length
  for (const path of PATHS) {
    const post = (body: unknown, token: string | undefined = user.token, headers?: Record<string, string>) =>
      send(gateway, path, token, body, headers)
    const anonymous = (body: unknown, headers?: Record<string, string>) => send(gateway, path, undefined, body, headers)
    t.same(await anonymous('{'), [401, 'not_authenticated'], 'token before body')
    t.same(await anonymous('x', { 'content-type': 'text/plain' }), [401, 'not_authenticated'], 'token before type')
    t.same(await post('{', 'wrong'), [401, 'invalid_token'])
    t.same(await post({ chatflow_id: 'unknown' }), [422, 'validation_error'], 'validation before chatflow')
    t.same(await post({ chatflow_id: report }), [422, 'validation_error'], 'validation before grant')
    const wrongSession = { question: 'hi', sessionId: 'of-other' }
    t.same(await post({ ...wrongSession, chatflow_id: 'unknown' }), [404, 'chatflow_not_found'])
    t.same(await post({ ...wrongSession, chatflow_id: report }), [403, 'chatflow_forbidden'], 'grant before session')
    t.same(
      await post({ ...wrongSession, chatflow_id: report }, admin.token),
      [404, 'session_not_found'],
      'no grant for an admin'
    )
    t.same(await post({ ...wrongSession, chatflow_id: echo }), [404, 'session_not_found'], 'session before credits')
    t.same(await post({ question: 'hi', chatflow_id: echo }), [402, 'insufficient_credits'])
  }
  t.equal(standIn.predictions.length, sent, 'none of them reached Flowise')
  const { sessions, messages, entries, requests, account } = stored(gateway)
  t.same(
    (await sessions()).map(({ id }) => id),
    ['of-other']
  )
  t.equal((await messages()).length, 2)
  t.same(await entries(user.id), [])
  t.same(
    await requests(),
    (await requests()).filter(({ accountId }) => accountId !== user.id)
  )
  t.match(await account(user.id), { available: 0, held: 0, holdCount: 0 })
  t.equal(gateway.app.exchanges.size, 0)
})

t.test('the 402 says what is there and what is needed', async (t) => {
  const { request, createUser, standIn } = await start(t, { DEFAULT_CHATFLOW_PRICE: '2' })
  const { token } = await createUser({ grants: [echo], credits: 3 })
  const ask = (sessionId: string) =>
    request('POST', PATHS[0], { token, body: { chatflow_id: echo, question: 'hi', sessionId } })
  standIn.next({ gates: { head: 'first' } })
  const first = ask('a')
  await standIn.gate('first').reached
  const held = await ask('b')
  t.equal(held.statusCode, 402)
  t.match(held.json(), { code: 'insufficient_credits', reason: 'held_by_inflight', available: 1, held: 2, needed: 2 })
  t.ok(Number(held.headers['retry-after']) >= 1)
  standIn.gate('first').open()
  t.match((await first).json(), { credits_charged: 2, credits_remaining: 1 })
  const poor = await ask('b')
  t.match(poor.json(), { reason: 'insufficient_credits', available: 1, held: 0, needed: 2 })
  t.equal(poor.headers['retry-after'], undefined)
})

t.test('the rate limit comes before the body, and after the token', async (t) => {
  const gateway = await start(t, { RATE_LIMIT_PER_MINUTE: '2' })
  const { user } = gateway
  for (let n = 0; n < 2; n++)
    t.same(await send(gateway, PATHS[0], user.token, { question: 'hi' }), [422, 'validation_error'])
  t.same(await send(gateway, PATHS[0], user.token, '{'), [429, 'rate_limited'])
  t.same(await send(gateway, PATHS[0], 'wrong', '{'), [401, 'invalid_token'])
  const reply = await gateway.request('POST', PATHS[1], { token: user.token, body: {} })
  t.equal(reply.statusCode, 429)
  t.ok(Number(reply.headers['retry-after']) >= 1)
})

t.test('concurrency: 402 wins over 429, free and paid predictions alike', async (t) => {
  const gateway = await start(t, { MAX_CONCURRENT_PER_USER: '2' })
  const { standIn, createUser, request, admin } = gateway
  for (const price of [1, 0]) {
    await request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { price } })
    const { token, id } = await createUser({ grants: [echo], credits: 3 })
    const ask = (sessionId: string) => send(gateway, PATHS[0], token, { chatflow_id: echo, question: 'hi', sessionId })
    standIn.next({ gates: { head: `a${price}` } })
    standIn.next({ gates: { head: `b${price}` } })
    const running = [ask(`a${price}`), ask(`b${price}`)]
    await Promise.all([standIn.gate(`a${price}`).reached, standIn.gate(`b${price}`).reached])
    t.same(await ask(`c${price}`), [429, 'too_many_predictions'])
    if (price > 0) {
      await gateway.app.ledger.change(id, { key: `take${price}`, kind: 'adjust', amountMicro: -1_000_000, note: '' })
      t.same(await ask(`c${price}`), [402, 'insufficient_credits'])
      await gateway.app.ledger.change(id, { key: `give${price}`, kind: 'adjust', amountMicro: 1_000_000, note: '' })
    }
    standIn.gate(`a${price}`).open()
    standIn.gate(`b${price}`).open()
    t.same(await Promise.all(running), [
      [200, 'ok'],
      [200, 'ok']
    ])
    t.same(await ask(`c${price}`), [200, 'ok'], 'the room is free again')
    t.same((await stored(gateway).sessions()).filter(({ id: name }) => name === `c${price}`).length, 1)
  }
})

t.test('a frozen account is refused, also where it would be free', async (t) => {
  const gateway = await start(t)
  const { request, admin, other, standIn } = gateway
  const sent = standIn.predictions.length
  const freeze = (frozen: boolean) =>
    request('PUT', `/api/v1/admin/users/${other.id}/credits/frozen`, { token: admin.token, body: { frozen } })
  const ask = () => send(gateway, PATHS[0], other.token, { chatflow_id: echo, question: 'hi', sessionId: 'frozen' })
  t.equal((await freeze(true)).statusCode, 200)
  t.same(await ask(), [403, 'account_frozen'])
  await request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { price: 0 } })
  t.same(await ask(), [403, 'account_frozen'])
  t.equal(standIn.predictions.length, sent)
  t.equal((await freeze(false)).statusCode, 200)
  t.same(await ask(), [200, 'ok'])
})

t.test('a removed grant and a deleted chatflow count with the next request', async (t) => {
  const gateway = await start(t)
  const { request, admin, other, app } = gateway
  const ask = () => send(gateway, PATHS[0], other.token, { chatflow_id: echo, question: 'hi' })
  t.same(await ask(), [200, 'ok'])
  await request('DELETE', `/api/v1/admin/chatflows/${echo}/users/${other.id}`, { token: admin.token })
  t.same(await ask(), [403, 'chatflow_forbidden'])
  await request('POST', `/api/v1/admin/chatflows/${echo}/users`, { token: admin.token, body: { user_id: other.id } })
  t.same(await ask(), [200, 'ok'])
  await app.store.collection('chatflows').update(echo, {}, { set: { status: 'deleted' } })
  t.same(await ask(), [404, 'chatflow_not_found'])
})
