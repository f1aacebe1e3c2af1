import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { startStreams } from './streams.ts'
import { eventsOf, idle, settled, stored, textOf } from './tools.ts'

const { echo } = DEMO_IDS
const PATHS = ['/api/v1/chat/predict', '/api/v1/chat/predict/stream', `/api/v1/prediction/${echo}`]

for (const path of PATHS)
  t.test(`100 at once on a balance for 10: ten run, ${path.split('/').slice(3, 6).join(' ')}`, async (t) => {
    const gateway = await buildTestApp(t, { env: { MAX_CONCURRENT_PER_USER: '1000' } })
    const { standIn, createUser, request } = gateway
    const { id, token } = await createUser({ grants: [echo], credits: 10 })
    const ask = () => request('POST', path, { token, body: { chatflow_id: echo, question: 'hi' } })
    standIn.always({ gates: { head: 'all' } })
    const replies = Array.from({ length: 100 }, ask)
    let answered = 0
    const refused = Promise.withResolvers<void>()
    for (const reply of replies)
      void reply.then(() => {
        if (++answered === 90) refused.resolve()
      })
    await refused.promise
    t.match(await stored(gateway).account(id), { available: 0, held: 10_000_000, holdCount: 10 })
    standIn.gate('all').open()
    const statuses = (await Promise.all(replies)).map(({ statusCode }) => statusCode)
    t.equal(statuses.filter((status) => status === 200).length, 10)
    t.equal(statuses.filter((status) => status === 402).length, 90)
    t.equal(standIn.predictions.length, 10)
    t.match(await stored(gateway).account(id), { available: 0, held: 0, holdCount: 0 })
    t.equal((await stored(gateway).charges(id)).length, 10)
    t.equal((await stored(gateway).sessions()).length, 10, 'the refused left no session')
    await settled(t, gateway, id)
  })

t.test('metered: extended while it runs, charged by the tokens that the flow reports', async (t) => {
  const gateway = await startStreams(t)
  const { played, configure, user } = gateway
  await configure({ metered: { per_1k_tokens: 1, floor: 1, ceiling: 5 } })
  const usage = { input_tokens: 1000, output_tokens: 4000, total_tokens: 5000 }
  const tokens = Array.from({ length: 50 }, () => ['token', 'x'.repeat(400)] as const)
  const reply = await played({ events: [...tokens, ['usageMetadata', usage]], pieceBytes: 4000 })
  t.match(reply.events.at(-2)?.data, { event: 'metadata', data: { credits_charged: 5, credits_remaining: 995 } })
  const charge = (await stored(gateway).entries(user.id)).find(({ kind }) => kind === 'charge')
  t.match(charge, { delta: -5_000_000, meta: { isEstimated: false } })
  const guessed = await played({ events: [['token', 'x'.repeat(8000)]] })
  t.match(guessed.events.at(-2)?.data, { data: { credits_charged: 2 } })
  await settled(t, gateway, user.id)
})

t.test('metered: when the credits run out the answer stops politely', async (t) => {
  const gateway = await startStreams(t, { DEFAULT_CREDITS: '2' })
  const { stream, standIn, configure, user } = gateway
  await configure({ metered: { per_1k_tokens: 1, floor: 1, ceiling: 1 } })
  const tokens = Array.from({ length: 200 }, () => ['token', 'x'.repeat(400)] as const)
  standIn.next({ events: tokens, pieceBytes: 4000, end: 'open' })
  const text = await stream({ sessionId: 's' }).ended
  const events = eventsOf(text)
  t.match(events.at(-2)?.data, { event: 'error', code: 'credits_exhausted', status: 402 })
  t.equal(events.at(-1)?.event, 'end')
  await standIn.waitFor(({ method }) => method === 'PUT')
  await idle(gateway)
  t.equal((await stored(gateway).messages('s'))[1]?.content, textOf(text))
  const charged = (await stored(gateway).charges(user.id)).reduce((sum, charge) => sum + charge, 0)
  t.ok(charged > 1_000_000 && charged <= 2_000_000, `${charged} of what there was`)
  await settled(t, gateway, user.id)
})

t.test('a tool or an artifact is output, an empty token is none', async (t) => {
  const gateway = await startStreams(t)
  const { played, user } = gateway
  for (const [event, data, price] of [
    ['artifacts', [{ type: 'png', data: 'x' }], 1],
    ['usedTools', [{ tool: 'x' }], 1],
    ['token', '', 0],
    ['calledTools', [], 0],
    ['thinking', 'hm', 0],
    ['sourceDocuments', [{ pageContent: 'x' }], 0]
  ] as const) {
    const { events } = await played({
      events: [
        ['start', ''],
        [event, data],
        ['error', 'x']
      ]
    })
    t.match(events.at(-2)?.data, { event: 'error', credits_charged: price }, event)
  }
  await settled(t, gateway, user.id)
})

t.test('a free chatflow has no hold and no entry, and ends like any other', async (t) => {
  const gateway = await startStreams(t, { DEFAULT_CREDITS: '0', DEFAULT_CHATFLOW_PRICE: '0' })
  const { played, user, request } = gateway
  const { events } = await played({}, { sessionId: 's' })
  t.match(events.at(-2)?.data, { data: { credits_charged: 0, credits_remaining: 0 } })
  const failed = await played({
    events: [
      ['token', 'x'],
      ['error', 'x']
    ]
  })
  t.match(failed.events.at(-2)?.data, { credits_charged: 0 })
  t.same(await stored(gateway).entries(user.id), [])
  const list = await request('GET', '/api/v1/chat/credits/transactions', { token: user.token })
  t.equal(list.json().count, 0)
  await settled(t, gateway, user.id)
})

t.test('the list of transactions has the charge, with its session and message', async (t) => {
  const gateway = await startStreams(t)
  const { request, user } = gateway
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  const reply = await request('POST', PATHS[0] ?? '', { token: user.token, body })
  const { transactions } = (await request('GET', '/api/v1/chat/credits/transactions', { token: user.token })).json()
  t.match(transactions[0], {
    kind: 'charge',
    amount: -1,
    state: 'settled',
    chatflow_id: echo,
    session_id: 's',
    message_id: reply.json().message_id
  })
})
