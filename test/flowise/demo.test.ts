import t, { type Test } from 'tap'
import { DEMO_FLOWS, DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startDemoFlowise } from '../../src/flowise/demo.ts'
import type { Frame } from '../../src/flowise/frame.ts'
import { createSseParser } from '../../src/flowise/sse.ts'

async function startDemo(t: Test): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  const demo = await startDemoFlowise({ pace: 0 })
  t.teardown(() => demo.close())
  return (path, init) => fetch(`${demo.url}/api/v1${path}`, init)
}

function post(body: Record<string, unknown>): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}

async function framesOf(response: Response): Promise<Frame[]> {
  const frames: Frame[] = []
  const parser = createSseParser({ maxFrameBytes: 1_000_000, onFrame: (frame) => frames.push(frame) })
  parser.push(await response.bytes())
  parser.end()
  return frames
}

function textOf(frames: Frame[]): string {
  return frames.map(({ event, data }) => (event === 'token' ? data : '')).join('')
}

t.test('Echo streams the question back word by word and answers JSON alike', async (t) => {
  const call = await startDemo(t)
  const question = '  two  words,\n日本 🙂 '
  const response = await call(`/prediction/${DEMO_IDS.echo}`, post({ question, chatId: 'c', streaming: true }))
  t.equal(response.headers.get('content-type'), 'text/event-stream')
  const frames = await framesOf(response)
  t.equal(textOf(frames), question)
  t.strictSame([frames.at(0)?.event, frames.at(-2)?.event, frames.at(-1)?.event], ['start', 'metadata', 'end'])
  const json = await (await call(`/prediction/${DEMO_IDS.echo}`, post({ question, chatId: 'c' }))).json()
  t.match(json, { text: question, question, chatId: 'c', sessionId: 'c', chatMessageId: /^[0-9a-f-]{36}$/ })
})

t.test('a session is remembered by overrideConfig.sessionId, other sessions are not', async (t) => {
  const call = await startDemo(t)
  const ask = async (question: string, sessionId: string, chatId: string) =>
    (await call(`/prediction/${DEMO_IDS.echo}`, post({ question, chatId, overrideConfig: { sessionId } }))).json()
  await ask('first', 's1', 'c1')
  t.match(await ask('What did I say?', 's1', 'c2'), { text: 'Before that you said: first' })
  t.match(await ask('What did I say?', 's2', 'c3'), { text: /not said anything/ })
  t.match(await (await call(`/chatmessage/${DEMO_IDS.echo}?sessionId=s1`)).json(), { length: 4 })
  await call(`/chatmessage/${DEMO_IDS.echo}?sessionId=s1&chatId=c1`, { method: 'DELETE' })
  t.match(await (await call(`/chatmessage/${DEMO_IDS.echo}?sessionId=s1`)).json(), { length: 2 })
})

t.test('every flow is listed with its inside, and says whether it streams', async (t) => {
  const call = await startDemo(t)
  const rows = await (await call('/chatflows')).json()
  t.match(
    rows,
    DEMO_FLOWS.map(({ id, name, type }) => ({ id, name, type, flowData: /secret system prompt/ }))
  )
  for (const { id, isStreamable } of DEMO_FLOWS) {
    t.match(await (await call(`/chatflows-streaming/${id}`)).json(), { isStreaming: isStreamable })
    t.match(await (await call(`/public-chatbotConfig/${id}`)).json(), { flowData: /secret/ })
  }
  t.equal((await call('/chatflows-streaming/nowhere')).status, 500)
})

t.test('Report answers JSON although a stream was asked for', async (t) => {
  const call = await startDemo(t)
  const response = await call(`/prediction/${DEMO_IDS.report}`, post({ question: 'May', streaming: true }))
  t.match(response.headers.get('content-type'), 'application/json')
  t.match(await response.json(), { text: /May/, sourceDocuments: [{ pageContent: /figures/ }] })
})

t.test('Fragile fails in mid-stream, or with status 500', async (t) => {
  const call = await startDemo(t)
  const frames = await framesOf(await call(`/prediction/${DEMO_IDS.fragile}`, post({ question: 'x', streaming: true })))
  t.strictSame(
    frames.slice(-2).map(({ event }) => event),
    ['error', 'end']
  )
  t.ok(textOf(frames))
  t.equal((await call(`/prediction/${DEMO_IDS.fragile}`, post({ question: 'x' }))).status, 500)
})

t.test('the agent reports its nodes, tokens used and executed data', async (t) => {
  const call = await startDemo(t)
  const frames = await framesOf(
    await call(`/prediction/${DEMO_IDS.research}`, post({ question: 'x', streaming: true }))
  )
  const events = new Set(frames.map(({ event }) => event))
  for (const event of ['agentFlowEvent', 'nextAgentFlow', 'agentFlowExecutedData', 'usageMetadata', 'metadata'])
    t.ok(events.has(event), event)
})

t.test('abort stops an agent and does nothing to a chatflow', async (t) => {
  const demo = await startDemoFlowise()
  t.teardown(() => demo.close())
  const start = (id: string, question: string) =>
    fetch(`${demo.url}/api/v1/prediction/${id}`, post({ question, chatId: 'c', streaming: true }))
  const abort = async (id: string) =>
    (await fetch(`${demo.url}/api/v1/chatmessage/abort/${id}/c`, { method: 'PUT' })).json()
  const agent = await start(DEMO_IDS.research, 'x')
  t.match(await abort(DEMO_IDS.research), { status: 200 })
  t.strictSame(
    (await framesOf(agent)).slice(-3).map(({ event }) => event),
    ['agentFlowEvent', 'error', 'end']
  )
  const chat = await start(DEMO_IDS.echo, 'one two')
  t.match(await abort(DEMO_IDS.echo), { status: 200 })
  t.equal(textOf(await framesOf(chat)), 'one two')
})

t.test('an unknown chatflow is refused in JSON and never answered as a stream', async (t) => {
  const call = await startDemo(t)
  const unknown = '/prediction/00000000-0000-4000-8000-000000000000'
  t.equal((await call(unknown, post({ question: 'x' }))).status, 404)
  t.equal((await call('/prediction/nonsense', post({ question: 'x' }))).status, 400)
  const leaving = new AbortController()
  const hanging = call(unknown, { ...post({ question: 'x', streaming: true }), signal: leaving.signal })
  t.equal(await (await call('/ping')).text(), 'pong')
  t.equal(await Promise.race([hanging, call('/version')]).then((response) => response.url.endsWith('/version')), true)
  leaving.abort()
  await t.rejects(hanging)
})

t.test('odd requests do not harm the demo', async (t) => {
  const call = await startDemo(t)
  await t.rejects(call('/chatmessage/%E0%A4%A'))
  t.equal((await call(`/prediction/${DEMO_IDS.echo}`, { method: 'POST', body: 'no json' })).status, 400)
  t.match((await call('/unheard-of')).headers.get('content-type'), 'text/html')
  t.equal((await call('/unheard-of', { method: 'POST' })).status, 404)
})
