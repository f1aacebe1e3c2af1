import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, open, settled, stored, textOf } from './tools.ts'

const { echo, report, research } = DEMO_IDS
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

async function start(t: Parameters<typeof startStreams>[0], env: Record<string, string> = {}) {
  const gateway = await startStreams(t, env)
  const { request, user, url, standIn } = gateway
  const path = (id: string = echo) => `/api/v1/prediction/${id}`
  const ask = (body: unknown, id: string = echo, headers: Record<string, string> = {}) =>
    request('POST', path(id), { token: user.token, body, headers })
  const stream = (body: Record<string, unknown> = {}, id: string = echo) =>
    open(`${url}${path(id)}`, { token: user.token, body: { question: 'hi', streaming: true, ...body } })
  const played = async (fault: Fault, body: Record<string, unknown> = {}) => {
    standIn.next(fault)
    const wire = stream(body)
    const text = await wire.ended
    return { ...(await wire.head), text, events: eventsOf(text) }
  }
  const last = () => Object(standIn.predictions.at(-1)?.body)
  return { ...gateway, path, ask, stream, played, last }
}

t.test("a JSON answer has Flowise's members, with the client's id", async (t) => {
  const gateway = await start(t)
  const { ask, last, user } = gateway
  const reply = await ask({ question: 'hi', chatId: 'my-chat', unknown: 1 })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers['content-type'], 'application/json')
  const [, answer] = await stored(gateway).messages('my-chat')
  t.same(reply.json(), {
    text: 'hi',
    question: 'hi',
    chatId: 'my-chat',
    sessionId: 'my-chat',
    chatMessageId: answer?.id,
    credits_charged: 1,
    credits_remaining: 999
  })
  t.same(Object.keys(last()).toSorted(), ['chatId', 'overrideConfig', 'question', 'streaming'])
  t.match(last().chatId, UUID)
  t.same(Object.keys(last().overrideConfig), ['sessionId'])
  t.equal(last().streaming, false)
  const again = await ask({ question: 'repeat', overrideConfig: { sessionId: 'my-chat' } })
  t.equal(again.json().text, 'Before that you said: hi', 'the memory is that of the session')
  t.equal((await stored(gateway).messages('my-chat')).length, 4)
  const fresh = (await ask({ question: 'hi' })).json()
  t.match(fresh.chatId, UUID)
  t.equal(fresh.sessionId, fresh.chatId)
  t.equal(
    (await gateway.request('GET', `/api/v1/chat/sessions/${fresh.chatId}/history`, { token: user.token })).statusCode,
    200
  )
  await settled(t, gateway, user.id)
})

t.test("a stream has Flowise's framing, with the client's id", async (t) => {
  const gateway = await start(t)
  const { played, user } = gateway
  const { status, headers, text, events } = await played({}, { chatId: 'my-chat' })
  t.equal(status, 200)
  t.match(headers, { 'content-type': 'text/event-stream', 'cache-control': /no-cache/, 'x-accel-buffering': 'no' })
  t.match(text, /^(message:\ndata:\{"event":"[^\n]+\}\n\n)+$/)
  const [, answer] = await stored(gateway).messages('my-chat')
  t.same(
    events.map(({ data }) => data),
    [
      { event: 'start', data: '' },
      { event: 'token', data: 'Hello ' },
      { event: 'token', data: 'from ' },
      { event: 'token', data: 'Flowise 🙂' },
      {
        event: 'metadata',
        data: {
          chatId: 'my-chat',
          chatMessageId: answer?.id,
          question: 'hi',
          sessionId: 'my-chat',
          credits_charged: 1,
          credits_remaining: 999
        }
      },
      { event: 'end', data: '[DONE]' }
    ]
  )
  await settled(t, gateway, user.id)
})

t.test('streaming is what Flowise takes for it: true or "true"', async (t) => {
  const { ask, last } = await start(t)
  for (const [streaming, isStream] of [
    [true, true],
    ['true', true],
    [false, false],
    ['True', false],
    ['1', false],
    [1, false],
    [{}, false],
    [null, false]
  ] as const) {
    const reply = await ask({ question: 'hi', streaming })
    const type = isStream ? 'text/event-stream' : 'application/json'
    t.match(reply.headers['content-type'], type, JSON.stringify(streaming))
    t.equal(last().streaming, isStream)
  }
})

t.test('a flow that cannot stream answers with JSON', async (t) => {
  const { ask, played } = await start(t)
  const reply = await ask({ question: 'hi', streaming: true, chatId: 'c' }, report)
  t.match(reply.headers['content-type'], 'application/json')
  t.match(reply.json(), { text: /^Report on/, chatId: 'c', sourceDocuments: Array })
  const surprise = await played({ body: '{"text":"T","chatId":"secret","chatMessageId":"secret"}' }, { chatId: 'd' })
  t.match(JSON.parse(surprise.text), { text: 'T', chatId: 'd', sessionId: 'd' })
  t.notMatch(surprise.text, 'secret')
})

t.test('an agentflow shows its steps and nothing of its inside', async (t) => {
  const { ask } = await start(t)
  for (const streaming of [true, false]) {
    const { body } = await ask({ question: 'hi', streaming }, research)
    t.match(body, /"agentFlowExecutedData"/)
    t.match(body, /"previousNodeIds":\["startAgentflow_0"\]/)
    t.notMatch(body, /secret|demo-model-key|model\.internal|"input"|chatHistory/)
  }
})

t.test('keep-alive is a comment at a frame boundary', async (t) => {
  const { standIn, stream } = await start(t, { SSE_PING_SECONDS: '0.03' })
  standIn.next({
    events: [
      ['token', 'a'],
      ['token', 'b']
    ],
    gates: { 1: 'silence' }
  })
  const wire = stream()
  await wire.until(/(:ka\n){2}/)
  standIn.gate('silence').open()
  const text = await wire.ended
  t.match(text, /"a"\}\n\n(:ka\n){2,}message:\ndata:/)
  t.match(text.replaceAll(/^:ka\n/gm, ''), /^(message:\ndata:[^\n]+\n\n)+$/)
})

t.test('failures after the first event are an error event and one end', async (t) => {
  const gateway = await start(t)
  const { played, user } = gateway
  for (const fault of [
    {
      events: [
        ['token', 'half'],
        ['error', 'sk-1']
      ]
    },
    { events: [['token', 'half']], end: 'none' },
    { events: [['token', 'half']], end: 'cut' }
  ] satisfies Fault[]) {
    const { status, text, events } = await played(fault)
    t.equal(status, 200)
    t.same(
      events.map(({ event }) => event),
      ['token', 'error', 'end']
    )
    t.type(events[1]?.data.data, 'string')
    t.notMatch(text, 'sk-1')
  }
  t.same(await stored(gateway).charges(user.id), [1_000_000, 1_000_000, 1_000_000])
  await settled(t, gateway, user.id)
})

t.test('any chatId is mapped, none is passed on', async (t) => {
  const gateway = await start(t)
  const { ask, stream, standIn } = gateway
  const ids = ['customer+3f0c', 'a b/ü🙂', '../../x', 'x'.repeat(512)]
  for (const chatId of ids) {
    t.equal((await ask({ question: 'hi', chatId })).json().chatId, chatId)
    const again = await ask({ question: 'repeat', chatId })
    t.equal(again.json().text, 'Before that you said: hi')
    const text = await stream({ chatId }).ended
    t.match(eventsOf(text).at(-2)?.data, { event: 'metadata', data: { chatId, sessionId: chatId } })
  }
  const sent = JSON.stringify(standIn.predictions.map(({ body, url }) => [body, url]))
  for (const chatId of ids) t.notOk(sent.includes(JSON.stringify(chatId).slice(1, -1)))
  t.equal((await stored(gateway).sessions()).length, ids.length)
  t.equal((await ask({ question: 'hi', chatId: 'x'.repeat(513) })).statusCode, 422)
})

t.test('forms, human input, actions and leads reach Flowise reduced', async (t) => {
  const { ask, last } = await start(t)
  await ask({ form: { name: 'x' }, chatId: 'f' })
  t.same(last().form, { name: 'x' })
  t.notOk('question' in last())
  await ask({
    humanInput: { type: 'proceed', startNodeId: 'n', feedback: 'f', evil: 1 },
    leadEmail: 'a@b.example',
    chatId: 'f'
  })
  t.same(last().humanInput, { type: 'proceed', startNodeId: 'n', feedback: 'f' })
  t.equal(last().leadEmail, 'a@b.example')
  await ask({ question: 'hi', evaluation: true, evaluationRunId: 'x', stopNodeId: 'y', chatflowId: 'z' })
  t.same(Object.keys(last()).toSorted(), ['chatId', 'overrideConfig', 'question', 'streaming'])
})

t.test('other methods, sub-paths and prefixes are 404', async (t) => {
  const { request, user, path, standIn } = await start(t)
  const token = user.token
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const)
    t.equal((await request(method, path(), { token })).statusCode, 404, method)
  const body = { question: 'hi' }
  for (const url of [`${path()}/more`, '/api/v1/prediction', `/prediction/${echo}`, `/api/prediction/${echo}`])
    t.equal((await request('POST', url, { token, body })).statusCode, 404, url)
  t.equal((await request('POST', `${path()}/`, { token, body })).statusCode, 200)
  t.equal((await request('POST', `${path()}?chatId=x&streaming=true`, { token, body })).statusCode, 200)
  t.ok(
    standIn.predictions.every(({ url }) => url === `/api/v1/prediction/${echo}`),
    'no query of the client passes'
  )
})

t.test('idempotency keys work here too', async (t) => {
  const { ask, standIn } = await start(t)
  const key = { 'idempotency-key': 'k' }
  const first = await ask({ question: 'hi', chatId: 'c' }, echo, key)
  const second = await ask({ question: 'hi', chatId: 'c' }, echo, key)
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.same(second.json(), first.json())
  const stream = await ask({ question: 'hi', chatId: 'c', streaming: true }, echo, key)
  t.equal(stream.headers['idempotency-replayed'], 'true')
  t.equal(textOf(stream.body), 'hi')
  t.equal(eventsOf(stream.body).at(-1)?.event, 'end')
  t.equal((await ask({ question: 'hi', chatId: 'other' }, echo, key)).statusCode, 422)
  t.equal(standIn.predictions.length, 1)
  standIn.next({ status: 500, body: '{}' })
  for (const replayed of [undefined, 'true'])
    for (const streaming of replayed ? [true, false] : [false]) {
      const failed = await ask({ question: 'hi', streaming }, echo, { 'idempotency-key': 'failed' })
      t.same([failed.statusCode, failed.headers['idempotency-replayed']], [streaming ? 200 : 502, replayed])
      t.equal(failed.headers['x-gateway-code'], 'upstream_error')
    }
})
