import t, { type Test } from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import { createFlowiseClient, type FlowiseClient, type FlowiseClientOptions } from '../../src/flowise/client.ts'
import { DEMO_FLOWS, DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { describeError } from '../../src/logger.ts'
import { createFakeClock } from '../clock.ts'
import { FAULTS, type StandIn, startStandIn } from '../stand-in/flowise.ts'

async function start(
  t: Test,
  options: Partial<FlowiseClientOptions> = {}
): Promise<{ standIn: StandIn; client: FlowiseClient }> {
  const standIn = await startStandIn()
  const client = createFlowiseClient({
    baseUrl: standIn.url,
    apiKey: 'flowise-key',
    clock: createSystemClock(),
    firstByteTimeoutMs: 5000,
    ...options
  })
  t.teardown(async () => {
    await client.close()
    await standIn.close()
  })
  return { standIn, client }
}

const json = (body: unknown, status = 200) => ({ status, body: JSON.stringify(body) })

t.test('every call carries the key of the gateway and stays below the base path', async (t) => {
  const { standIn } = await start(t)
  const client = createFlowiseClient({
    baseUrl: `${standIn.url}/below/`,
    apiKey: 'k',
    clock: createSystemClock(),
    firstByteTimeoutMs: 5000
  })
  t.teardown(() => client.close())
  await client.isStreaming('a/../b?c').catch(() => undefined)
  await client.abort('flow', 'chat id')
  await client.forget('flow', { chatId: 'c&d', sessionId: 's' })
  t.strictSame(
    standIn.requests.map(({ method, url }) => `${method} ${url}`),
    [
      'GET /below/api/v1/chatflows-streaming/a%2F..%2Fb%3Fc',
      'PUT /below/api/v1/chatmessage/abort/flow/chat%20id',
      'DELETE /below/api/v1/chatmessage/flow?chatId=c%26d&sessionId=s'
    ]
  )
  for (const { headers } of standIn.requests) t.equal(headers.authorization, 'Bearer k')
  t.equal(await client.isStreaming('..'), 'not_found', 'a segment that would change the path is not sent')
})

t.test('ping tells a Flowise from a web page, a failure and silence', async (t) => {
  const { standIn, client } = await start(t, { shortTimeoutMs: 50 })
  await client.ping()
  t.equal(await client.version(), '3.1.4')
  standIn.next(FAULTS.html, /ping/)
  await t.rejects(client.ping(), { code: 'upstream_error' })
  standIn.next(FAULTS.failure, /ping/)
  await t.rejects(client.ping(), { code: 'upstream_error' })
  standIn.next(FAULTS.hang, /ping/)
  await t.rejects(client.ping(), { code: 'upstream_timeout' })
  await standIn.close()
  await t.rejects(client.ping(), { code: 'upstream_unavailable' })
})

t.test('the listing is an array or all of its pages', async (t) => {
  const { standIn, client } = await start(t)
  t.match(
    await client.listChatflows(),
    DEMO_FLOWS.map(({ id }) => ({ id }))
  )
  standIn.next(json({ data: [{ id: '1' }, { id: '2' }], total: 5 }), /chatflows/)
  standIn.next(json({ data: [{ id: '2' }, { id: '3' }], total: 5 }), /page=2&limit=2/)
  standIn.next(json({ data: [{ id: '4' }, { id: '5' }], total: 5 }), /page=3&limit=2/)
  t.same(
    await client.listChatflows(),
    ['1', '2', '3', '4', '5'].map((id) => ({ id })),
    'a row that moved counts once'
  )
  standIn.next(json({ data: [], total: 0 }), /chatflows/)
  t.same(await client.listChatflows(), [])
})

t.test('a listing that is refused, odd, cut, too large or incomplete is an error, never a part', async (t) => {
  const { standIn, client } = await start(t, { firstByteTimeoutMs: 60, maxListingBytes: 2000 })
  const odd = {
    html: FAULTS.html,
    unauthorized: FAULTS.unauthorized,
    failure: FAULTS.failure,
    refused: FAULTS.refused,
    hang: FAULTS.hang,
    object: json({ error: 'no' }),
    text: json('OK'),
    half: { body: '[{"id":"1"}', headers: { 'content-type': 'application/json' } },
    cut: { body: '[{"id":"1"}]', cutAtByte: 5 },
    large: json([{ id: 'x'.repeat(3000) }]),
    incomplete: json({ data: [], total: 3 })
  }
  for (const [name, fault] of Object.entries(odd)) {
    standIn.next(fault, /chatflows/)
    await t.rejects(client.listChatflows(), { code: 'upstream_error' }, name)
  }
  standIn.next(json({ data: [{ id: '1' }], total: 2 }), /chatflows/)
  standIn.next(FAULTS.failure, /page=2/)
  await t.rejects(client.listChatflows(), { code: 'upstream_error' }, 'a later page')
  standIn.always(json({ data: [{ id: '1' }], total: 2 }), /chatflows/)
  await t.rejects(client.listChatflows(), { code: 'upstream_error' }, 'the same page again and again')
})

t.test('nothing of an upstream failure is in what a client is told', async (t) => {
  const { standIn, client } = await start(t)
  standIn.next(FAULTS.failure, /chatbotConfig/i)
  const error = await client.chatbotConfig(DEMO_IDS.echo).catch((caught: unknown) => caught)
  t.match(error, { code: 'upstream_error', message: 'The chatflow failed.', params: {} })
})

t.test('what Flowise says to a call that it refuses is kept as its reason', async (t) => {
  const { standIn, client } = await start(t)
  standIn.next(json({ message: 'No vector node found', stack: 'x'.repeat(9000) }, 500), /chatflows/)
  const failure = await client.listChatflows().catch((error: unknown) => error)
  const logged = JSON.stringify(describeError(failure))
  t.match(logged, /status 500: .*No vector node found/)
  t.ok(logged.length < 1000)
})

t.test('eligibility: streaming, not streaming, unknown flow, anything else', async (t) => {
  const { standIn, client } = await start(t)
  t.equal(await client.isStreaming(DEMO_IDS.echo), 'yes')
  t.equal(await client.isStreaming(DEMO_IDS.report), 'no')
  t.equal(await client.isStreaming('nowhere'), 'not_found')
  for (const fault of [
    FAULTS.html,
    FAULTS.unauthorized,
    FAULTS.rateLimited,
    FAULTS.failure,
    json({ isStreaming: 'yes' }),
    json([])
  ]) {
    standIn.next(fault, /chatflows-streaming/)
    t.equal(await client.isStreaming('odd'), 'unknown', fault.body)
  }
  standIn.next(FAULTS.refused, /chatflows-streaming/)
  await t.rejects(client.isStreaming('odd'), { code: 'upstream_unavailable' })
})

t.test('eligibility is remembered for a minute, doubt and refusal are not, and look-ups at once are one', async (t) => {
  const clock = createFakeClock()
  const { standIn, client } = await start(t, { clock })
  const lookups = (): number => standIn.requests.length
  t.same(await Promise.all([1, 2, 3].map(() => client.isStreaming(DEMO_IDS.echo))), ['yes', 'yes', 'yes'])
  t.equal(lookups(), 1)
  clock.advance(59_999)
  await client.isStreaming(DEMO_IDS.echo)
  t.equal(lookups(), 1)
  clock.advance(1)
  await client.isStreaming(DEMO_IDS.echo)
  t.equal(lookups(), 2)
  await client.isStreaming('nowhere')
  await client.isStreaming('nowhere')
  t.equal(lookups(), 4)
})

t.test('a look-up without an answer ends at the limit, by the clock it was given', async (t) => {
  const clock = createFakeClock()
  const { standIn, client } = await start(t, { clock, firstByteTimeoutMs: 60_000 })
  standIn.next(FAULTS.hang, /chatflows-streaming/)
  const asked = client.isStreaming(DEMO_IDS.echo)
  await standIn.waitFor(({ url }) => url.includes('chatflows-streaming'))
  clock.advance(60_000)
  await t.rejects(asked, { code: 'upstream_timeout' })
  await standIn.waitFor(({ isLeft }) => isLeft)
  t.equal(await client.isStreaming(DEMO_IDS.echo), 'yes', 'and the next one is asked anew')
})

t.test('the configuration is an object, whatever Flowise says when there is none', async (t) => {
  const { standIn, client } = await start(t)
  t.match(await client.chatbotConfig(DEMO_IDS.echo), { title: 'Echo' })
  await t.rejects(client.chatbotConfig('nowhere'), { code: 'chatflow_not_found' })
  const nothing = [json('OK'), json(null), json([]), { body: 'OK', headers: { 'content-type': 'text/html' } }]
  for (const fault of nothing) {
    standIn.next(fault, /chatbotConfig/i)
    t.same(await client.chatbotConfig('x'), {})
  }
  standIn.next(FAULTS.html, /chatbotConfig/i)
  await t.rejects(client.chatbotConfig('x'), { code: 'upstream_error' })
})

t.test('the text of a stored answer is found by its id only', async (t) => {
  const { standIn, client } = await start(t)
  standIn.store('kept 🙂')
  t.equal(await client.messageText('flow', 'stored-1'), 'kept 🙂')
  const rows = [
    { id: 'other', role: 'apiMessage', content: "someone else's" },
    { id: 'mine', role: 'userMessage', content: 'question' }
  ]
  standIn.always(json(rows), /chatmessage/)
  t.equal(await client.messageText('flow', 'wanted'), undefined)
  t.equal(await client.messageText('flow', 'mine'), undefined)
  standIn.next(FAULTS.unauthorized, /chatmessage/)
  t.equal(await client.messageText('flow', 'other'), undefined)
})

t.test('abort and forget are best effort and never fail', async (t) => {
  const { standIn, client } = await start(t, { shortTimeoutMs: 50 })
  t.ok(await client.abort('flow', 'chat'))
  t.match(standIn.aborts, [{ url: '/api/v1/chatmessage/abort/flow/chat' }])
  for (const fault of [FAULTS.failure, FAULTS.hang, FAULTS.refused]) {
    standIn.next(fault, /chatmessage/)
    t.notOk(await client.abort('flow', 'chat'))
    standIn.next(fault, /chatmessage/)
    t.notOk(await client.forget('flow', { chatId: 'c', sessionId: 's' }))
  }
  t.notOk(await client.abort('..', 'chat'))
})
