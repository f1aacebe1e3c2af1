import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { settled, stored } from './tools.ts'

const { echo } = DEMO_IDS
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const PREDICT = '/api/v1/chat/predict'

/** A gateway with one user who may use the echo flow; answers and what Flowise received of them. */
async function start(t: Parameters<typeof buildTestApp>[0]) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '1000' } })
  const user = await gateway.createUser({ grants: [echo] })
  const ask = (body: Record<string, unknown>, headers: Record<string, string> = {}) =>
    gateway.request('POST', PREDICT, { token: user.token, body: { chatflow_id: echo, ...body }, headers })
  const last = () => gateway.standIn.predictions.at(-1)
  return { ...gateway, user, ask, last }
}

t.test('question and message', async (t) => {
  const { ask, last, standIn } = await start(t)
  const question = async (body: Record<string, unknown>) => {
    const { statusCode } = await ask(body)
    return statusCode === 200 ? Object(last()?.body).question : statusCode
  }
  t.equal(await question({ question: 'first', message: 'second' }), 'first')
  t.equal(await question({ message: 'second' }), 'second')
  t.equal(await question({ question: ' \n\t', message: 'second' }), 'second', 'a blank one does not count')
  t.equal(await question({ question: null, message: 'second' }), 'second')
  const odd = '  padded \u2028 "quoted" \\ 🙂 e\u0301 \r\n\t '
  t.equal(await question({ question: odd }), odd, 'is passed on unchanged')
  t.equal(await question({ question: 'x'.repeat(100_000) }), 'x'.repeat(100_000))
  const sent = standIn.predictions.length
  t.equal(await question({}), 422)
  t.equal(await question({ question: '', message: '   ' }), 422)
  t.equal(await question({ question: 'x'.repeat(100_001) }), 422)
  t.equal(await question({ question: 5 }), 422)
  t.equal(await question({ question: ['a'] }), 422)
  t.equal(await question({ question: 'x', streaming: 'true' }), 422)
  t.equal(await question({ question: 'x', chatflow_id: '' }), 422)
  t.equal(await question({ question: 'x', chatflow_id: 'x'.repeat(129) }), 422)
  t.equal(await question({ question: 'x', chatflow_id: undefined }), 422)
  t.equal(standIn.predictions.length, sent, 'none of the refused reached Flowise')
})

t.test('session ids', async (t) => {
  const { ask, standIn } = await start(t)
  const session = async (body: Record<string, unknown>) => {
    const reply = await ask({ question: 'hi', ...body })
    return reply.statusCode === 200 ? reply.json().session_id : reply.statusCode
  }
  t.equal(await session({ sessionId: 'a', session_id: 'b', overrideConfig: { sessionId: 'c' } }), 'a')
  t.equal(await session({ session_id: 'b', overrideConfig: { sessionId: 'c' } }), 'b')
  t.equal(await session({ overrideConfig: { sessionId: 'c' } }), 'c')
  t.equal(await session({ sessionId: '', session_id: 'd' }), 'd', 'an empty one does not count')
  t.equal(await session({ sessionId: null, session_id: 'e' }), 'e')
  t.equal(await session({ sessionId: 'A-z_0.9:x' }), 'A-z_0.9:x')
  t.equal(await session({ sessionId: 'x'.repeat(128) }), 'x'.repeat(128))
  t.match(await session({}), UUID)
  t.not(await session({}), await session({}))
  const sent = standIn.predictions.length
  for (const sessionId of ['a b', 'a/b', 'ä', 'x'.repeat(129), 'a\n', '../x', 7, { a: 1 }, ['a']]) {
    t.equal(await session({ sessionId }), 422, JSON.stringify(sessionId))
    t.equal(await session({ session_id: sessionId }), 422, `session_id ${JSON.stringify(sessionId)}`)
    t.equal(await session({ overrideConfig: { sessionId } }), 422, `override ${JSON.stringify(sessionId)}`)
  }
  t.equal(standIn.predictions.length, sent)
})

t.test('history', async (t) => {
  const { ask, last } = await start(t)
  const history = async (list: unknown) => {
    const { statusCode } = await ask({ question: 'hi', history: list })
    return statusCode === 200 ? Object(last()?.body).history : statusCode
  }
  t.same(
    await history([
      { role: 'user', content: '1' },
      { role: 'assistant', content: '2' },
      { role: 'userMessage', content: '3', extra: 'dropped' },
      { role: 'apiMessage', content: '4' }
    ]),
    [
      { role: 'userMessage', content: '1' },
      { role: 'apiMessage', content: '2' },
      { role: 'userMessage', content: '3' },
      { role: 'apiMessage', content: '4' }
    ]
  )
  t.equal(await history(undefined), undefined)
  const turn = { role: 'user', content: 'x' }
  t.equal((await history(Array.from({ length: 100 }, () => turn))).length, 100)
  t.equal(await history(Array.from({ length: 101 }, () => turn)), 422)
  for (const role of ['system', 'User', '', 'toString', '__proto__', 5])
    t.equal(await history([{ role, content: 'x' }]), 422, String(role))
  t.equal(await history([{ role: 'user' }]), 422)
  t.equal(await history([{ role: 'user', content: 5 }]), 422)
  t.equal(await history('x'), 422)
  const half = { role: 'user', content: 'x'.repeat(100_000) }
  t.equal((await history([half, half])).length, 2)
  t.equal(await history([half, half, turn]), 422)
})

t.test('overrideConfig passes only what the chatflow allows, and never the session', async (t) => {
  const { ask, last, request, admin } = await start(t)
  const overrideConfig = {
    temperature: 1,
    vars: { a: 1 },
    analytics: { x: 1 },
    sessionId: 'mine',
    nested: { deep: [1, null] }
  }
  await ask({ question: 'hi', overrideConfig, analytics: 1, chatId: 'mine', vars: 1 })
  const upstream = Object(last()?.body)
  t.same(Object.keys(upstream).toSorted(), ['chatId', 'overrideConfig', 'question', 'streaming'])
  t.same(Object.keys(upstream.overrideConfig), ['sessionId'])
  t.match(upstream.overrideConfig.sessionId, UUID)
  t.match(upstream.chatId, UUID)
  t.equal(upstream.streaming, false)

  const allow = (override_allow: unknown) =>
    request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { override_allow } })
  t.equal((await allow(['vars', 'nested', 'constructor'])).statusCode, 200)
  await ask({ question: 'hi', overrideConfig })
  const { sessionId: _minted, ...passed } = Object(last()?.body).overrideConfig
  t.same(passed, { vars: { a: 1 }, nested: { deep: [1, null] } })
  t.equal((await allow(['sessionId'])).statusCode, 422)
  t.equal((await allow(['analytics'])).statusCode, 422)
  t.equal((await ask({ question: 'hi', overrideConfig: 'x' })).statusCode, 422)
  t.equal((await ask({ question: 'hi', overrideConfig: null })).statusCode, 200)
})

t.test('what reaches Flowise has nothing of the client but its address', async (t) => {
  const { ask, last } = await start(t)
  await ask(
    { question: 'hi' },
    {
      cookie: 'a=b',
      'x-request-from': 'internal',
      'flowise-tool': 'true',
      origin: 'https://evil.example',
      referer: 'https://evil.example',
      host: 'evil.example',
      'x-forwarded-for': '1.2.3.4',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'for=1.2.3.4',
      'x-real-ip': '1.2.3.4',
      'x-request-id': 'my-request',
      'accept-language': 'de',
      'user-agent': 'mine'
    }
  )
  const { headers } = last() ?? {}
  const { host, connection: _connection, 'content-length': _length, ...sent } = headers ?? {}
  t.match(host, /^127\.0\.0\.1:\d+$/)
  t.same(sent, {
    accept: 'application/json',
    authorization: 'Bearer flowise-test-key',
    'content-type': 'application/json',
    'x-forwarded-for': '127.0.0.1'
  })
})

t.test('unknown members are dropped, broken bodies are refused', async (t) => {
  const gateway = await start(t)
  const { request, user, standIn } = gateway
  const post = (body: string | Buffer, type = 'application/json') =>
    request('POST', PREDICT, { token: user.token, body, headers: { 'content-type': type } })
  const code = async (reply: ReturnType<typeof post>) => {
    const { statusCode, body } = await reply
    return [statusCode, JSON.parse(body).code]
  }
  t.same(await code(post('{"chatflow_id":')), [400, 'malformed_json'])
  t.same(await code(post(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))), [400, 'malformed_json'])
  t.same(await code(post('a=b', 'application/x-www-form-urlencoded')), [415, 'unsupported_media_type'])
  t.same(await code(post('{}', 'multipart/form-data; boundary=x')), [415, 'unsupported_media_type'])
  t.same(await code(post('[]')), [422, 'validation_error'])
  t.same(await code(post('null')), [422, 'validation_error'])
  t.same(await code(post('"text"')), [422, 'validation_error'])
  t.equal(standIn.predictions.length, 0)
  t.same(await stored(gateway).sessions(), [])
  await settled(t, gateway, user.id)
})
