import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { runIdOf } from '../../src/ids.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { startStreams } from '../prediction/streams.ts'
import { eventsOf, idle, open, stored } from '../prediction/tools.ts'
import { buildExternalApp } from './accounting-open.ts'

const { echo } = DEMO_IDS
const USAGE = { input_tokens: 11, output_tokens: 4, total_tokens: 15, total_cost: 0.25 }
const ANSWER = { text: 'A', agentFlowExecutedData: [{ nodeId: 'a', data: { output: { usageMetadata: USAGE } } }] }

t.test('a receipt tells what a prediction used and cost, also when its conversation is gone', async (t) => {
  const { standIn, createUser, request } = await buildTestApp(t)
  const user = await createUser({ grants: [echo], credits: 10 })
  const receipt = async (id: string, token = user.token) => request('GET', `/chat/receipts/${id}`, { token })
  standIn.next({ body: JSON.stringify(ANSWER) })
  const body = { chatflow_id: echo, question: 'hi' }
  const headers = { 'idempotency-key': 'once' }
  const reply = (await request('POST', '/chat/predict', { token: user.token, body, headers })).json()
  const found = (await receipt(reply.message_id)).json()
  t.match(found, {
    message_id: reply.message_id,
    session_id: reply.session_id,
    chatflow_id: echo,
    api_key_id: null,
    state: 'settled',
    credits_held: 1,
    credits_charged: 1,
    price: { kind: 'flat', amount: 1 },
    tokens: { input: 11, output: 4, total: 15 },
    estimated: false,
    model_cost: 0.25,
    ending: 'completed'
  })
  t.ok(found.duration_ms >= found.first_answer_ms && found.first_answer_ms >= 0)
  t.ok(found.ended_at >= found.started_at)
  const { transactions } = (await request('GET', '/chat/credits/transactions', { token: user.token })).json()
  t.equal(found.transaction_id, transactions[0].id)
  t.match(transactions[0], { kind: 'charge', message_id: reply.message_id })

  t.equal((await request('DELETE', '/chat/history', { token: user.token })).statusCode, 200)
  t.same((await receipt(reply.message_id)).json(), found, 'the conversation is gone, the receipt is not')
  t.same((await receipt(found.transaction_id)).json(), found)
  t.same((await receipt(runIdOf(reply.message_id))).json(), found)

  const stranger = await createUser()
  for (const id of [reply.message_id, found.transaction_id])
    t.match(await receipt(id, stranger.token), { statusCode: 404 }, 'nobody else has it')
  for (const id of ['unknown', encodeURIComponent('../x'), runIdOf('x')])
    t.match((await receipt(id)).json(), { status: 404, code: 'receipt_not_found' })
})

t.test('while it runs a receipt says what is held', async (t) => {
  const { stream, standIn, request, user, app } = await startStreams(t)
  standIn.next({ events: [['token', 'x']], gates: { end: 'end' } })
  const wire = stream()
  const id = /"message_id":"([^"]+)"/.exec(await wire.until(/"token"/))?.[1] ?? ''
  const receipt = async () => (await request('GET', `/chat/receipts/${id}`, { token: user.token })).json()
  t.match(await receipt(), { state: 'held', credits_held: 1, credits_charged: 0, ending: null, ended_at: null })
  standIn.gate('end').open()
  await wire.ended
  await idle({ app })
  t.match(await receipt(), { state: 'settled', credits_charged: 1, tokens: null, ending: 'completed' })
})

t.test('a metered receipt shows its prices, and says when tokens are estimated', async (t) => {
  const { standIn, request, createUser, admin } = await buildTestApp(t)
  const user = await createUser({ grants: [echo], credits: 1000 })
  const metered = { per_1k_tokens: 1, per_1k_output_tokens: 5, floor: 0, ceiling: 50 }
  await request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { metered } })
  const ask = async (answer: unknown) => {
    standIn.next({ body: JSON.stringify(answer) })
    const body = { chatflow_id: echo, question: 'hi' }
    const { message_id: id } = (await request('POST', '/chat/predict', { token: user.token, body })).json()
    return (await request('GET', `/chat/receipts/${id}`, { token: user.token })).json()
  }
  const price = { kind: 'metered', per_1k_tokens: 1, per_1k_output_tokens: 5 }
  t.match(await ask(ANSWER), { price, credits_charged: 0.031, estimated: false, tokens: { input: 11, output: 4 } })
  const guessed = { price, credits_charged: 0.5, estimated: true, tokens: { input: null, output: 100, total: 100 } }
  t.match(await ask({ text: 'x'.repeat(400) }), guessed)
  const nothing = { per_1k_tokens: 0, floor: 0, ceiling: 0 }
  await request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { metered: nothing } })
  t.match(await ask(ANSWER), { state: 'free', price: { kind: 'metered', per_1k_tokens: 0 }, ending: 'completed' })
})

t.test('a free prediction has a receipt of its own, and no entry', async (t) => {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CHATFLOW_PRICE: '0' } })
  const { request, createUser, standIn, app } = gateway
  const user = await createUser({ grants: [echo] })
  standIn.next({ body: JSON.stringify(ANSWER), gates: { head: 'answer' } })
  const body = { chatflow_id: echo, question: 'hi' }
  const reply = request('POST', '/chat/predict', { token: user.token, body })
  await standIn.gate('answer').reached
  const [running] = [...app.exchanges.values()]
  const live = await request('GET', `/chat/receipts/${running?.messageId}`, { token: user.token })
  t.match(live.json(), { state: 'free', ended_at: null, ending: null }, 'while it runs')
  standIn.gate('answer').open()
  const { message_id: id } = (await reply).json()
  const receipt = async () => (await request('GET', `/chat/receipts/${id}`, { token: user.token })).json()
  t.match(await receipt(), { state: 'free', credits_charged: 0, tokens: { total: 15 }, ending: 'completed' })
  while ((await app.store.collection('free_runs').count({})) === 0) await new Promise(setImmediate)
  t.match(await receipt(), { state: 'free', message_id: id, transaction_id: null })
  t.same(await stored(gateway).entries(user.id), [])
  t.match(await request('GET', `/chat/receipts/${id}`, { token: (await createUser()).token }), { statusCode: 404 })
})

t.test('a run that came to nothing, and one whose process died', async (t) => {
  const clock = createFakeClock(Date.now())
  const { request, createUser, standIn, app } = await buildTestApp(t, { clock })
  const user = await createUser({ grants: [echo], credits: 10 })
  const receipt = async (id: string) => (await request('GET', `/chat/receipts/${id}`, { token: user.token })).json()
  standIn.next({ status: 500 })
  const body = { chatflow_id: echo, question: 'hi' }
  t.match(await request('POST', '/chat/predict', { token: user.token, body }), { statusCode: 502 })
  const [released] = (await stored({ app }).entries(user.id)).filter(({ kind }) => kind === 'release')
  const state = { state: 'released', credits_held: 1, credits_charged: 0, ending: 'failed_before_output' }
  t.match(await receipt(String(released?.meta['messageId'])), { ...state, transaction_id: null })

  const meta = { sessionId: 's', messageId: 'm', keyId: 'k' }
  const run = { rid: runIdOf('m'), accountId: user.id, chatflowId: echo }
  const hold = await app.ledger.reserve({ ...run, amountMicro: 2_000_000, meta })
  await app.ledger.heartbeat(hold, 1_500_000)
  clock.advance(30_000)
  t.match(await receipt('m'), { state: 'held', credits_held: 2 })
  await app.ledger.expireDue(clock.now() + 60_000)
  const gone = { state: 'expired', credits_held: 2, credits_charged: 1.5, ending: 'expired', api_key_id: 'k' }
  t.match(await receipt('m'), { ...gone, session_id: 's', duration_ms: null })
})

t.test('with an accounting service a receipt says whether it has taken the charge', async (t) => {
  const { predict, request, user, settled, service, admin } = await buildExternalApp(t)
  const receipt = async (id: string) => (await request('GET', `/chat/receipts/${id}`, { token: user.token })).json()
  const paid = (await predict()).json().message_id
  await settled()
  const found = await receipt(paid)
  t.match(found, { state: 'settled', credits_charged: 1 })
  const { transactions } = (await request('GET', '/chat/credits/transactions', { token: user.token })).json()
  t.equal(found.transaction_id, transactions[0].id)
  t.same(await receipt(found.transaction_id), found)
  service.next({ status: 503 }, /deduct/)
  const waiting = (await predict()).json().message_id
  t.match(await receipt(waiting), { state: 'pending', credits_charged: 1 })
  const { totals } = (await request('GET', '/admin/usage', { token: admin.token })).json()
  t.match(totals, { predictions: 2, completed: 2, credits_charged: 2 }, 'charges on their way are in reports too')
})

t.test('a stream tells its receipt before its end, to whom asks for it', async (t) => {
  const { url, user, standIn } = await startStreams(t)
  const paths = ['/api/v1/chat/predict/stream', `/api/v1/prediction/${echo}`]
  for (const path of paths)
    for (const asked of [true, false]) {
      standIn.next({
        events: [
          ['token', 'x'],
          ['agentFlowExecutedData', ANSWER.agentFlowExecutedData]
        ]
      })
      const body = { chatflow_id: echo, question: 'hi', streaming: true }
      const headers = asked ? { 'x-gateway-receipt': 'true' } : {}
      const text = await open(`${url}${path}`, { token: user.token, body, headers }).ended
      const events = eventsOf(text)
      t.same(
        events.slice(-3).map(({ data }) => data.event === 'gateway.receipt'),
        [asked, false, false]
      )
      if (asked)
        t.match(events.at(-3)?.data.data, { state: 'settled', credits_charged: 1, tokens: { total: 15 } }, text)
      t.match(events.at(-1)?.data, { event: 'end' })
    }
})

t.test('a stream that fails tells its receipt as well', async (t) => {
  const { url, user, standIn } = await startStreams(t)
  standIn.next({
    events: [
      ['token', 'x'],
      ['error', 'no']
    ]
  })
  const body = { chatflow_id: echo, question: 'hi' }
  const headers = { 'x-gateway-receipt': 'true' }
  const events = eventsOf(await open(`${url}/api/v1/chat/predict/stream`, { token: user.token, body, headers }).ended)
  t.match(events.at(-3)?.data, { event: 'gateway.receipt', data: { ending: 'failed_after_output' } })
  t.match(events.at(-2)?.data, { event: 'error' })
})
