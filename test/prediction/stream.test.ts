import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { Agent, request } from 'undici'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, open, settled, stored, textOf } from './tools.ts'

const { echo, report } = DEMO_IDS

t.test('head, framing and order of a stream', async (t) => {
  const gateway = await startStreams(t)
  const { played, user } = gateway
  const { status, headers, text, events } = await played({}, { sessionId: 's1' })
  t.equal(status, 200)
  t.match(headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    'x-request-id': String
  })
  t.equal(headers['content-encoding'], undefined)
  t.equal(headers['content-length'], undefined)
  t.match(text, /^(id: \d+\nevent: [a-z_A-Z]+\ndata: \{"event":"[^\n]+\}\n\n)+$/, 'nothing but frames')
  t.same(
    events.map(({ id }) => id),
    events.map((_, index) => String(index + 1))
  )
  t.ok(events.every(({ event, data }) => event === data.event))
  t.same(
    events.map(({ event }) => event),
    ['session_id', 'start', 'token', 'token', 'token', 'metadata', 'end']
  )
  const [first] = events
  const [, answer] = await stored(gateway).messages('s1')
  const message_id = answer?.id
  t.same(first?.data, {
    event: 'session_id',
    data: 's1',
    chatflow_id: echo,
    message_id,
    request_id: headers['x-request-id']
  })
  t.same(events.at(-2)?.data, {
    event: 'metadata',
    data: {
      session_id: 's1',
      sessionId: 's1',
      chatflow_id: echo,
      message_id,
      credits_charged: 1,
      credits_remaining: 999
    }
  })
  t.same(events.at(-1)?.data, { event: 'end', data: '[DONE]' })
  t.equal(answer?.content, 'Hello from Flowise 🙂')
  t.equal(answer?.status, 'complete')
  await settled(t, gateway, user.id)
})

t.test('streaming and Accept decide the form on /chat/predict', async (t) => {
  const { url, user, standIn } = await startStreams(t)
  const type = async (body: Record<string, unknown>, accept?: string) => {
    const wire = open(`${url}/chat/predict`, {
      token: user.token,
      body: { chatflow_id: echo, question: 'hi', ...body },
      headers: accept === undefined ? {} : { accept }
    })
    await wire.ended
    return String((await wire.head).headers['content-type']).split(';')[0]
  }
  t.equal(await type({ streaming: true }), 'text/event-stream')
  t.equal(await type({ streaming: true }, 'application/json'), 'text/event-stream')
  t.equal(Object(standIn.predictions.at(-1)?.body).streaming, true)
  t.equal(await type({}, 'application/json, Text/Event-Stream;q=0.1'), 'text/event-stream')
  t.equal(await type({ streaming: null }, 'text/event-stream'), 'text/event-stream')
  t.equal(await type({ streaming: false }, 'text/event-stream'), 'application/json')
  t.equal(await type({}, '*/*'), 'application/json')
  t.equal(await type({}), 'application/json')
  t.equal(Object(standIn.predictions.at(-1)?.body).streaming, false)
})

t.test('only events on the list pass, as Flowise sent them', async (t) => {
  const { played, configure } = await startStreams(t)
  const fault: Fault = {
    events: [
      ['agentFlowEvent', 'INPROGRESS'],
      ['nextAgentFlow', { nodeId: 'n', nodeLabel: 'N', status: 'ERROR', error: 'key sk-1', input: 'x' }],
      ['start', ''],
      ['thinking', 'hm'],
      ['token', 'a\n"b"\\ \u2028 🙂'],
      ['token', ''],
      ['sourceDocuments', [{ pageContent: 'p', metadata: {} }]],
      ['artifacts', [{ type: 'png', data: 'd' }]],
      ['fileAnnotations', [{ fileName: 'f' }]],
      ['nextAgent', 'A'],
      ['usedTools', [{ toolInput: 'secret' }]],
      ['calledTools', [{ toolInput: 'secret' }]],
      ['agentReasoning', [{ messages: ['secret'] }]],
      ['agentFlowExecutedData', [{ data: { input: 'secret' } }]],
      ['usageMetadata', { total_tokens: 3 }],
      ['action', { id: 'secret' }],
      ['agent_trace', { step: 'secret' }],
      ['unheardOf', 'secret'],
      ['session_id', 'secret'],
      ['files_uploaded', 'secret'],
      ['metadata', { chatId: 'secret', sessionId: 'secret', chatMessageId: 'secret', followUpPrompts: '["Why?"]' }]
    ]
  }
  const standard = await played(fault)
  t.notMatch(standard.text, /secret|sk-1/)
  t.same(
    standard.events.slice(1, -2).map(({ data }) => data),
    [
      { event: 'agentFlowEvent', data: 'INPROGRESS' },
      { event: 'nextAgentFlow', data: { nodeId: 'n', nodeLabel: 'N', status: 'ERROR' } },
      { event: 'start', data: '' },
      { event: 'thinking', data: 'hm' },
      { event: 'token', data: 'a\n"b"\\ \u2028 🙂' },
      { event: 'token', data: '' },
      { event: 'sourceDocuments', data: [{ pageContent: 'p', metadata: {} }] },
      { event: 'artifacts', data: [{ type: 'png', data: 'd' }] },
      { event: 'fileAnnotations', data: [{ fileName: 'f' }] },
      { event: 'nextAgent', data: 'A' }
    ]
  )
  t.match(standard.events.at(-2)?.data, { data: { followUpPrompts: '["Why?"]' } })
  await configure({ stream_events: ['token', 'usedTools'] })
  const chosen = await played(fault)
  t.same(
    chosen.events.map(({ event }) => event),
    ['session_id', 'agentFlowEvent', 'start', 'token', 'token', 'usedTools', 'metadata', 'end'],
    'and what no client can do without'
  )
})

t.test('bytes arrive as Flowise writes them, and the head with the first event', async (t) => {
  const { standIn, stream } = await startStreams(t)
  standIn.next({
    heartbeats: 1,
    events: [
      ['token', 'one'],
      ['token', 'two'],
      ['token', 'three']
    ],
    gates: { 0: 'first', 1: 'second', 2: 'third', end: 'end' }
  })
  const wire = stream()
  let hasHead = false
  void wire.head.then(() => {
    hasHead = true
  })
  await standIn.gate('first').reached
  await pause(50)
  t.notOk(hasHead, 'headers and heartbeats of Flowise are no answer')
  standIn.gate('first').open()
  await wire.until(/"one"/)
  t.notMatch(wire.text(), 'two')
  standIn.gate('second').open()
  await wire.until(/"two"/)
  t.notMatch(wire.text(), 'three')
  standIn.gate('third').open()
  await wire.until(/"three"/)
  t.notMatch(wire.text(), 'metadata')
  standIn.gate('end').open()
  t.match(await wire.ended, /event: end\n/)
  t.notMatch(wire.text(), 'heartbeat')
})

t.test('a ping fills silence between two frames, without a blank line', async (t) => {
  const { standIn, stream } = await startStreams(t, { SSE_PING_SECONDS: '0.03' })
  standIn.next({
    events: [
      ['token', 'a'],
      ['token', 'b']
    ],
    gates: { 1: 'silence' }
  })
  const wire = stream()
  await wire.until(/(: ping\n){3}/)
  standIn.gate('silence').open()
  const text = await wire.ended
  t.match(text, /data: \{"event":"token","data":"a"\}\n\n(: ping\n){3,}id: 3\nevent: token/)
  t.notMatch(text, /: ping\n\n/)
  const comments = text.replaceAll(/^: ping\n/gm, '')
  t.match(comments, /^(id: \d+\nevent: [a-z_]+\ndata: [^\n]+\n\n)+$/)
})

t.test('a flow that cannot stream answers as a stream', async (t) => {
  const gateway = await startStreams(t)
  const { standIn, stream, played, user } = gateway
  const text = await stream({ chatflow_id: report }).ended
  t.same(
    eventsOf(text).map(({ event }) => event),
    ['session_id', 'token', 'sourceDocuments', 'metadata', 'end']
  )
  t.match(textOf(text), 'Report on "hi"')
  t.match(eventsOf(text).at(-2)?.data, { data: { credits_charged: 1, followUpPrompts: /^\["Why/ } })
  t.equal(Object(standIn.predictions.at(-1)?.body).streaming, false)
  const json = { text: 'T', json: { a: 1 }, usedTools: ['secret'], chatId: 'secret' }
  const { text: whole } = await played({ body: JSON.stringify(json) })
  t.same(
    eventsOf(whole)
      .slice(1, -2)
      .map(({ data }) => data),
    [
      { event: 'token', data: 'T' },
      { event: 'json', data: { a: 1 } }
    ],
    'JSON although a stream was asked for'
  )
  t.notMatch(whole, 'secret')
  t.same(await stored(gateway).charges(user.id), [1_000_000, 1_000_000])
  t.ok((await stored(gateway).messages()).every(({ status }) => status === 'complete'))
})

t.test('every framing that Flowise and its neighbours use, in pieces of every kind', async (t) => {
  const { played } = await startStreams(t)
  const events = [
    ['start', ''],
    ['token', 'Grüße 👩‍👩‍👧 '],
    ['token', '日本語\n\n"x"']
  ] as const
  for (const framing of ['flowise', 'old', 'spaced', 'crlf', 'cr', 'named'] as const)
    for (const pieceBytes of [1, 7, 1000]) {
      const reply = await played({ events, framing, pieceBytes, heartbeats: 1 })
      t.equal(textOf(reply.text), 'Grüße 👩‍👩‍👧 日本語\n\n"x"', `${framing} ${pieceBytes}`)
      t.equal(reply.events.at(-1)?.event, 'end')
      t.equal(reply.events.at(-2)?.event, 'metadata')
    }
})

t.test('Last-Event-ID is ignored', async (t) => {
  const { url, user } = await startStreams(t)
  const body = { chatflow_id: echo, question: 'hi' }
  const wire = open(`${url}/chat/predict/stream/`, { token: user.token, body, headers: { 'last-event-id': '3' } })
  t.match(await wire.ended, /^id: 1\nevent: session_id/)
})

t.test('one connection carries stream after stream, on every path', async (t) => {
  const { url, user, app } = await startStreams(t)
  const agent = new Agent({ connections: 1 })
  let connections = 0
  app.server.on('connection', () => connections++)
  for (const path of ['/chat/predict', `/api/v1/prediction/${echo}`, '/chat/predict/stream', '/chat/predict']) {
    const { body } = await request(`${url}${path}`, {
      method: 'POST',
      dispatcher: agent,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${user.token}` },
      body: JSON.stringify({ chatflow_id: echo, question: 'hi', streaming: true })
    })
    t.equal(eventsOf(await body.text()).at(-1)?.event, 'end')
  }
  await agent.close()
  t.equal(connections, 1)
})
