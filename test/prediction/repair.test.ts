import t, { type Test } from 'tap'
import { catalogue, type ErrorCode } from '../../src/errors.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { sentenceFor } from '../../src/flowise/sentences.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, idle, open, settled, stored } from './tools.ts'

const { echo } = DEMO_IDS
t.setTimeout(300_000)
const frame = (event: string, data: unknown) => `message:\ndata:${JSON.stringify({ event, data })}\n\n`
const START = frame('start', '')
const TOKEN = frame('token', 'Grüße 🙂')
const METADATA = frame('metadata', { chatId: 'secret', chatMessageId: 'stored-1', sessionId: 'secret', question: 'q' })
const END = frame('end', '[DONE]')
const EXECUTED = [
  { nodeId: 'a', nodeLabel: 'A', data: { output: { content: 'of another node' } }, status: 'FINISHED' },
  { nodeId: 'b', nodeLabel: 'B', data: { input: 'secret', output: { content: 'Grüße 🙂' } }, status: 'FINISHED' }
]

type Told = readonly (readonly [event: string, data: unknown])[]
const USUAL: Told = [
  ['start', ''],
  ['token', 'Grüße 🙂']
]
const FETCHED: Told = [['token', 'Grüße 🙂']]

interface Case {
  name: string
  body: string
  more?: Fault
  /** Before the end; what only clients made for Flowise get is in `flowise`. */
  told: Told
  flowise?: Told
  /** Code of the in-band error, without its `upstream_`. */
  error?: string
  isCharged: boolean
  /** What Flowise has stored, and from which look-up on. */
  stored?: [text: string, emptyLookups: number]
}

const LOOKUP = /[?&]messageId=stored-1\b/

const CASES: Case[] = [
  { name: 'as it should be', body: START + TOKEN + METADATA + END, told: USUAL, isCharged: true },
  { name: 'no end, closed', body: START + TOKEN + METADATA, told: USUAL, isCharged: true },
  { name: 'no end, cut', body: START + TOKEN + METADATA, more: { end: 'cut' }, told: USUAL, isCharged: true },
  { name: 'no end, never closed', body: START + TOKEN + METADATA, more: { end: 'open' }, told: USUAL, isCharged: true },
  { name: 'half an end', body: START + TOKEN + METADATA + END.slice(0, 20), told: USUAL, isCharged: true },
  { name: 'two ends', body: START + TOKEN + METADATA + END + END, told: USUAL, isCharged: true },
  { name: 'metadata between two ends', body: START + TOKEN + END + METADATA + END, told: USUAL, isCharged: true },
  {
    name: 'events after the end',
    body: START + TOKEN + METADATA + END + frame('token', 'late') + frame('error', 'late'),
    told: USUAL,
    isCharged: true
  },
  {
    name: 'old framing',
    body: (START + TOKEN + METADATA + END).replaceAll('message:\n', 'message\n'),
    told: USUAL,
    isCharged: true
  },
  {
    name: 'event lines',
    body: (START + TOKEN + METADATA + END).replaceAll(/message:\ndata:(\{"event":"(\w+)")/g, 'event: $2\ndata: $1'),
    told: USUAL,
    isCharged: true
  },
  {
    name: 'event lines, and data without its name',
    body: 'event: start\ndata: ""\n\nevent: token\ndata: "Grüße 🙂"\n\n' + METADATA + 'event: end\ndata: [DONE]\n\n',
    told: USUAL,
    isCharged: true
  },
  { name: 'CRLF', body: (START + TOKEN + METADATA + END).replaceAll('\n', '\r\n'), told: USUAL, isCharged: true },
  { name: 'a byte order mark', body: `\uFEFF${START}${TOKEN}${METADATA}${END}`, told: USUAL, isCharged: true },
  {
    name: 'heartbeats and comments',
    body: [START, TOKEN, METADATA, END].map((text) => `:heartbeat\n\n: x\n${text}`).join(''),
    told: USUAL,
    isCharged: true
  },
  {
    name: 'data over several lines',
    body: `${START}data: {"event":"token",\ndata: "data":"Grüße 🙂"}\n\n${METADATA}${END}`,
    told: USUAL,
    isCharged: true
  },
  { name: 'stored only', body: METADATA + END, told: FETCHED, isCharged: true, stored: ['Grüße 🙂', 0] },
  { name: 'stored only, no end', body: METADATA, told: FETCHED, isCharged: true, stored: ['Grüße 🙂', 0] },
  { name: 'stored a moment later', body: METADATA + END, told: FETCHED, isCharged: true, stored: ['Grüße 🙂', 1] },
  {
    name: 'only in the execution data',
    body: frame('agentFlowExecutedData', EXECUTED) + METADATA + END,
    told: FETCHED,
    flowise: [
      [
        'agentFlowExecutedData',
        EXECUTED.map(({ nodeId, nodeLabel, status }) => ({ previousNodeIds: [], nodeId, nodeLabel, status }))
      ],
      ...FETCHED
    ],
    isCharged: true
  },
  { name: 'stored nowhere', body: START + METADATA + END, told: [['start', '']], error: 'empty', isCharged: false },
  { name: 'no metadata, closed', body: START + TOKEN, told: USUAL, error: 'incomplete', isCharged: true },
  {
    name: 'no metadata, cut',
    body: START + TOKEN,
    more: { end: 'cut' },
    told: USUAL,
    error: 'incomplete',
    isCharged: true
  },
  {
    name: 'an error after the metadata',
    body: START + TOKEN + METADATA + frame('error', 'sk-1') + END,
    told: USUAL,
    error: 'error',
    isCharged: true
  }
]

async function start(t: Test) {
  const gateway = await startStreams(t, { STREAM_IDLE_TIMEOUT_MS: '60000' })
  const order = ({ body, more, stored: kept }: Case) => {
    gateway.standIn.next({ headers: { 'content-type': 'text/event-stream' }, body, ...more })
    if (!kept) return
    const [content, emptyLookups] = kept
    const row = JSON.stringify([{ id: 'stored-1', role: 'apiMessage', content }])
    for (let n = 0; n < emptyLookups; n++) gateway.standIn.next({ body: '[]' }, LOOKUP)
    gateway.standIn.next({ body: row }, LOOKUP)
  }
  const ask = async (path: string, body: Record<string, unknown>) => {
    const wire = open(`${gateway.url}${path}`, { token: gateway.user.token, body: { question: 'q', ...body } })
    const text = await wire.ended
    await idle(gateway)
    return { ...(await wire.head), text }
  }
  let remaining = 1000
  const pay = (isCharged: boolean) => (remaining -= isCharged ? 1 : 0)
  return { ...gateway, order, ask, pay }
}

/** The text of the last two frames' failure, as clients are told. */
function failureOf({ error = '' }: Case): { data: string; code: ErrorCode; status: number } {
  const code = `upstream_${error}` as ErrorCode
  return { data: catalogue[code][1], code, status: 502 }
}

t.test('a repaired stream on /chat/predict, byte for byte, and what it costs', async (t) => {
  const gateway = await start(t)
  for (const [index, wanted] of CASES.entries()) {
    const { name, told, error, isCharged } = wanted
    gateway.order(wanted)
    const { status, headers, text } = await gateway.ask('/chat/predict/stream', {
      chatflow_id: echo,
      session_id: `s${index}`
    })
    const [, answer] = await stored(gateway).messages(`s${index}`)
    const ids = { session_id: `s${index}`, sessionId: `s${index}`, chatflow_id: echo }
    const money = { credits_charged: isCharged ? 1 : 0, credits_remaining: gateway.pay(isCharged) }
    const [first] = eventsOf(text)
    const request_id = headers['x-request-id']
    const opening = { data: `s${index}`, chatflow_id: echo, message_id: first?.data.message_id, request_id }
    const frames: [string, Record<string, unknown>][] = [
      ['session_id', opening],
      ...told.map(([event, data]): [string, Record<string, unknown>] => [event, { data }]),
      error === undefined
        ? ['metadata', { data: { ...ids, message_id: answer?.id, ...money } }]
        : ['error', { ...failureOf(wanted), request_id, ...money }],
      ['end', { data: '[DONE]' }]
    ]
    const bytes = frames.map(
      ([event, members], at) => `id: ${at + 1}\nevent: ${event}\ndata: ${JSON.stringify({ event, ...members })}\n\n`
    )
    t.equal(status, 200, name)
    t.equal(text, bytes.join(''), name)
    t.equal(answer?.status, isCharged ? (error === undefined ? 'complete' : 'incomplete') : undefined, name)
    t.equal(answer?.content ?? '', isCharged ? 'Grüße 🙂' : '', name)
  }
  t.same(
    await stored(gateway).charges(gateway.user.id),
    CASES.filter(({ isCharged }) => isCharged).map(() => 1_000_000)
  )
  await settled(t, gateway, gateway.user.id)
})

t.test("a repaired stream on Flowise's path, byte for byte, and what it costs", async (t) => {
  const gateway = await start(t)
  for (const [index, wanted] of CASES.entries()) {
    const { name, told, flowise = told, error, isCharged } = wanted
    gateway.order(wanted)
    const chatId = `c${index}`
    const { status, text } = await gateway.ask(`/api/v1/prediction/${echo}`, { chatId, streaming: true })
    const money = { credits_charged: isCharged ? 1 : 0, credits_remaining: gateway.pay(isCharged) }
    const metadata = () => {
      const last = eventsOf(text).at(-2)?.data.data
      const ids = { chatId, chatMessageId: Object(last).chatMessageId }
      const question = name.startsWith('metadata between') ? {} : { question: 'q' }
      return { ...ids, ...question, sessionId: chatId, ...money }
    }
    const closing =
      error === undefined ? frame('metadata', metadata()) : frame('error', sentenceFor(failureOf(wanted).code))
    const bytes = flowise.map(([event, data]) => frame(event, data)).join('') + closing + END
    t.equal(status, 200, name)
    t.equal(text, bytes, name)
    t.notMatch(text, 'secret', name)
  }
  t.same(
    await stored(gateway).charges(gateway.user.id),
    CASES.filter(({ isCharged }) => isCharged).map(() => 1_000_000)
  )
  await settled(t, gateway, gateway.user.id)
})

t.test('a repaired stream in the form of OpenAI', async (t) => {
  const gateway = await start(t)
  for (const wanted of CASES) {
    gateway.order(wanted)
    const body = { model: echo, messages: [{ role: 'user', content: 'q' }], stream: true }
    const { text } = await gateway.ask('/v1/chat/completions', body)
    const lines = text.split('\n\n').filter((line) => line.startsWith('data: '))
    const chunks = lines
      .filter((line) => line !== 'data: [DONE]')
      .map((line) => JSON.parse(line.slice('data: '.length)))
    const said = chunks.map(({ choices }) => choices?.[0]?.delta.content ?? '').join('')
    t.equal(said, wanted.isCharged ? 'Grüße 🙂' : '', wanted.name)
    t.equal(chunks.at(-1)?.error?.code, wanted.error && failureOf(wanted).code, wanted.name)
    t.equal(lines.filter((line) => line === 'data: [DONE]').length, wanted.error === undefined ? 1 : 0, wanted.name)
    const remaining = gateway.pay(wanted.isCharged)
    t.equal(chunks.at(-1)?.gateway.credits_remaining, remaining, wanted.name)
  }
  await settled(t, gateway, gateway.user.id)
})

t.test('whoever ended without saying so gets another conversation at Flowise next time', async (t) => {
  const gateway = await start(t)
  const chatIds = async (body: string, end: Fault['end']) => {
    gateway.standIn.next({ headers: { 'content-type': 'text/event-stream' }, body, ...(end ? { end } : {}) })
    await gateway.ask('/chat/predict/stream', { chatflow_id: echo, session_id: `${body.length}-${end}` })
    await gateway.ask('/chat/predict/stream', { chatflow_id: echo, session_id: `${body.length}-${end}` })
    return new Set(gateway.standIn.predictions.slice(-2).map((seen) => Object(seen.body).chatId)).size
  }
  t.equal(await chatIds(START + TOKEN + METADATA + END, undefined), 1, 'an end')
  t.equal(await chatIds(START + TOKEN + METADATA, undefined), 1, 'closed in order')
  t.equal(await chatIds(START + TOKEN + METADATA, 'open'), 2, 'never closed')
  t.equal(await chatIds(START + TOKEN + METADATA, 'cut'), 2, 'cut')
})

t.test('an answer in one piece that calls itself a stream is an answer in one piece', async (t) => {
  const gateway = await start(t)
  const answer = JSON.stringify({ text: 'Grüße 🙂', chatId: 'secret', sourceDocuments: [{ pageContent: 'p' }] })
  for (const body of [answer, `\uFEFF${answer}`, `\r\n\n ${answer}\n`])
    for (const pieceBytes of [1, 7, 1000]) {
      const fault = { headers: { 'content-type': 'text/event-stream' }, body, pieceBytes }
      gateway.standIn.next(fault)
      const stream = await gateway.ask('/chat/predict/stream', { chatflow_id: echo })
      t.same(
        eventsOf(stream.text).map(({ event }) => event),
        ['session_id', 'token', 'sourceDocuments', 'metadata', 'end']
      )
      gateway.standIn.next(fault)
      const reply = await gateway.ask(`/api/v1/prediction/${echo}`, { streaming: true, chatId: 'c' })
      t.match(reply.headers['content-type'], 'application/json')
      t.match(JSON.parse(reply.text), { text: 'Grüße 🙂', chatId: 'c', credits_charged: 1 })
      t.notMatch(stream.text + reply.text, 'secret')
    }
  t.equal((await stored(gateway).charges(gateway.user.id)).length, 18)
  await settled(t, gateway, gateway.user.id)
})

t.test('a body with nothing in it is no answer and costs nothing', async (t) => {
  const gateway = await start(t)
  const bodies = ['', '\n\n', '\uFEFF', ':heartbeat\n\n', '{}', '{"statusCode":500,"success":false,"message":"sk-1"}']
  for (const body of bodies) {
    gateway.standIn.next({ headers: { 'content-type': 'text/event-stream' }, body })
    const { status, text } = await gateway.ask('/chat/predict/stream', { chatflow_id: echo })
    t.same([status, JSON.parse(text).code], [502, 'upstream_empty'], JSON.stringify(body))
    t.notMatch(text, 'sk-1')
  }
  gateway.standIn.next({ body: '' })
  t.equal(JSON.parse((await gateway.ask('/chat/predict', { chatflow_id: echo })).text).code, 'upstream_error')
  t.same(await stored(gateway).charges(gateway.user.id), [])
  await settled(t, gateway, gateway.user.id)
})
