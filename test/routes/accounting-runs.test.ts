import t from 'tap'
import { createSigner } from 'fast-jwt'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import type { ChatflowRow } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { buildExternalApp, JWT_SECRET } from './accounting-open.ts'

t.test('a price by tokens from before is rounded up to whole credits, and held so', async (t) => {
  const { app, chatflowId, predict, standIn, service, settled, charges, user } = await buildExternalApp(t)
  const metered = { per1kTokensMicro: 1_000_000, floorMicro: 1_500_000, ceilingMicro: 5_000_000 }
  await app.store.collection<ChatflowRow>('chatflows').update(chatflowId, {}, { set: { metered } })
  const prices: [tokens: number, credits: number][] = [
    [1500, 2],
    [1, 1],
    [3001, 4]
  ]
  for (const [tokens, credits] of prices) {
    const nodes = [{ nodeId: 'a', data: { output: { usageMetadata: { total_tokens: tokens } } } }]
    standIn.next({ body: JSON.stringify({ text: 'T', agentFlowExecutedData: nodes }) })
    t.match((await predict()).json(), { credits_charged: credits })
  }
  await settled()
  t.equal(service.balances.get(user.id), 3)
  t.ok((await charges()).every(({ amount }) => amount % 1_000_000 === 0))
})

t.test('the same key again: one charge, one deduction, one usage record', async (t) => {
  const { request, user, chatflowId, service, settled, until } = await buildExternalApp(t, { form: 'v1' })
  const ask = () =>
    request('POST', '/chat/predict', {
      token: user.token,
      body: { chatflow_id: chatflowId, question: 'once' },
      headers: { 'idempotency-key': 'once' }
    })
  const first = await ask()
  const again = await ask()
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(again.json().message_id, first.json().message_id)
  await settled()
  await until(() => service.usage.length > 0)
  t.equal(service.deductions.length, 1)
  t.equal(service.usage.length, 1)
})

t.test('a token that runs out while the answer comes does not lose the charge', async (t) => {
  const clock = createFakeClock(Date.now())
  const { user, standIn, predict, service, settled, transactions } = await buildExternalApp(t, { form: 'v1', clock })
  const exp = Math.floor(clock.now() / 1000) + 30
  const token = createSigner({ key: JWT_SECRET, algorithm: 'HS256' })({ sub: user.id, role: 'user', exp })
  standIn.next({ gates: { head: 'answer' } })
  const reply = predict({}, token)
  await standIn.gate('answer').reached
  clock.advance(31_000)
  standIn.gate('answer').open()
  t.match((await reply).json(), { credits_charged: 1 })
  await settled()
  t.match(service.deductions, [{ userId: user.id, credits: 1, by: 'gateway-service' }])
  t.match(await transactions(), { transactions: [{ state: 'settled' }] })
})

t.test('a token that the service calls run out is told as that', async (t) => {
  const clock = createFakeClock(Date.now())
  const { user, predict, service, standIn } = await buildExternalApp(t, { clock })
  // Within the leeway of the gateway.
  const exp = Math.floor(clock.now() / 1000) - 5
  const token = createSigner({ key: JWT_SECRET, algorithm: 'HS256' })({ sub: user.id, role: 'user', exp })
  const refused = await predict({}, token)
  t.same([refused.statusCode, refused.json().code], [401, 'token_expired'])
  t.match(service.requests.at(-1)?.headers.authorization, `Bearer ${token}`)
  t.equal(standIn.predictions.length, 0)
})

t.test('whoever leaves before anything was said pays nothing; what failed without output is void', async (t) => {
  const { standIn, predict, service, charges, user } = await buildExternalApp(t)
  standIn.next({ status: 500, body: '{}' })
  t.equal((await predict()).statusCode, 502)
  standIn.next({ refuse: true })
  t.equal((await predict()).statusCode, 503)
  t.same(await charges(), [])
  t.equal(service.balances.get(user.id), 10)
})

t.test('charges that were on their way stay when the service is taken out of the configuration', async (t) => {
  const external = await buildExternalApp(t)
  external.service.always(({ method }) => (method === 'GET' ? undefined : { status: 404 }))
  t.equal((await external.predict()).statusCode, 200)
  await external.service.waitFor(({ method }) => method === 'POST')
  t.match(await external.charges(), [{ state: 'pending' }])
  t.match((await external.balance()).json(), { credits_remaining: 9, credits_held: 1 })
  const lines: string[] = []
  const logger = { level: 'warn', stream: { write: (line: string) => void lines.push(line) } }
  const { parts } = external.app
  const internal = await buildApp(loadConfig({ NODE_ENV: 'test', JWT_SECRET_KEY: JWT_SECRET }), { ...parts, logger })
  await internal.ready()
  t.match(lines.join(''), /"pending":1.*charges wait for an accounting service/)
})
