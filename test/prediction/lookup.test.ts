import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { idle, settled, stored } from './tools.ts'

const { echo, storyteller, report } = DEMO_IDS
const LOOKUP = /chatflows-streaming/

async function start(t: Parameters<typeof buildTestApp>[0], env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '100', FIRST_BYTE_TIMEOUT_MS: '400', ...env } })
  const user = await gateway.createUser({ grants: [echo, storyteller, report] })
  const stream = (chatflow_id: string = echo) =>
    gateway.request('POST', '/chat/predict/stream', { token: user.token, body: { chatflow_id, question: 'hi' } })
  const lookups = () => gateway.standIn.requests.filter(({ url }) => LOOKUP.test(url)).length
  return { ...gateway, user, stream, lookups }
}

t.test('before a streamed call Flowise is asked whether the flow streams', async (t) => {
  const gateway = await start(t)
  const { stream, standIn, user } = gateway
  const notFound = '{"statusCode":500,"message":"Error: x - Chatflow 1 not found"}'
  const cases: [Fault, number, string, number][] = [
    [{ status: 500, body: notFound }, 404, 'chatflow_not_found', 0],
    [{ status: 404, body: notFound }, 404, 'chatflow_not_found', 0],
    [{ hang: true }, 503, 'upstream_timeout', 0],
    [{ refuse: true }, 503, 'upstream_unavailable', 0],
    [{ status: 500, body: '{"message":"something else"}' }, 200, '', 1],
    [{ status: 401, body: '{"error":"Unauthorized Access"}' }, 200, '', 1],
    [{ headers: { 'content-type': 'text/html' }, body: '<html>' }, 200, '', 1],
    [{ body: '{"isStreaming":"yes"}' }, 200, '', 1]
  ]
  for (const [fault, status, code, predictions] of cases) {
    const before = standIn.predictions.length
    standIn.next(fault, LOOKUP)
    const reply = await stream()
    t.equal(reply.statusCode, status, JSON.stringify(fault))
    if (status !== 200) t.equal(reply.json().code, code)
    t.equal(standIn.predictions.length - before, predictions)
  }
  t.equal((await stored(gateway).charges(user.id)).length, 4)
  await settled(t, gateway, user.id)
})

t.test('what it says is remembered, per chatflow, and decides the mode', async (t) => {
  const { stream, lookups, standIn, request, user } = await start(t)
  for (let n = 0; n < 3; n++) await stream()
  t.equal(lookups(), 1)
  t.equal(Object(standIn.predictions.at(-1)?.body).streaming, true)
  for (let n = 0; n < 3; n++) await stream(report)
  t.equal(lookups(), 2)
  t.equal(Object(standIn.predictions.at(-1)?.body).streaming, false)
  await request('POST', '/chat/predict', { token: user.token, body: { chatflow_id: storyteller, question: 'hi' } })
  t.equal(lookups(), 2, 'a JSON prediction needs no answer to that')
})

t.test('a slow look-up and a silent Flowise share one limit', async (t) => {
  const gateway = await start(t)
  const { stream, standIn, user } = gateway
  standIn.next({ gates: { head: 'slow' }, body: '{"isStreaming":true}' }, LOOKUP)
  standIn.next({ hang: true })
  const startedAt = performance.now()
  const reply = stream()
  await standIn.gate('slow').reached
  setTimeout(() => standIn.gate('slow').open(), 300)
  t.equal((await reply).json().code, 'upstream_timeout')
  t.ok(performance.now() - startedAt < 650, 'not twice the limit')
  await idle(gateway)
  await settled(t, gateway, user.id)
})

t.test('addresses, origins and sizes', async (t) => {
  const { request, user, standIn } = await start(t, {
    TRUST_PROXY: '1',
    CORS_ORIGINS: 'https://chat.example.com',
    MAX_BODY_MB: '0.01'
  })
  const paths = ['/chat/predict', '/chat/predict/stream', `/api/v1/prediction/${echo}`]
  for (const url of paths) {
    const body = { chatflow_id: echo, question: 'hi', streaming: true }
    const origin = 'https://chat.example.com'
    const headers = { origin, 'x-forwarded-for': '1.1.1.1, 2.2.2.2', 'x-request-id': 'mine-1' }
    const reply = await request('POST', url, { token: user.token, body, headers })
    t.equal(reply.statusCode, 200)
    t.equal(standIn.predictions.at(-1)?.headers['x-forwarded-for'], '2.2.2.2')
    t.equal(reply.headers['access-control-allow-origin'], origin)
    t.match(reply.headers['access-control-expose-headers'], 'Idempotency-Replayed')
    t.equal(reply.headers['x-request-id'], 'mine-1')
    const evil = { ...headers, origin: 'https://evil.example' }
    t.equal(
      (await request('POST', url, { token: user.token, body, headers: evil })).headers['access-control-allow-origin'],
      undefined
    )
    const large = { ...body, question: 'x'.repeat(20_000) }
    const refused = await request('POST', url, { token: user.token, body: large })
    t.same([refused.statusCode, refused.json().code], [413, 'body_too_large'])
  }
})
