import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, idle, open, settled, stored } from './tools.ts'

const { echo } = DEMO_IDS
const ACTION = {
  id: 'i',
  mapping: { approve: 'Yes', reject: 'No', toolCalls: [{ id: 'c', name: 'mail', args: { to: 'secret' } }] },
  elements: [],
  data: { nodeId: 'n', nodeLabel: 'N', input: { messages: ['secret'] } }
}
const EXECUTED = [{ nodeId: 'n', nodeLabel: 'N', status: 'FINISHED', previousNodeIds: [], data: { input: 'secret' } }]
const EVENTS = [
  ['agentFlowEvent', 'INPROGRESS'],
  ['start', ''],
  ['thinking', 'member hm'],
  ['nextAgentFlow', { nodeId: 'n', nodeLabel: 'N', status: 'ERROR', error: '401 secret sk-1' }],
  ['token', 'answer'],
  ['sourceDocuments', [{ pageContent: 'member p' }]],
  ['artifacts', [{ type: 'png', data: 'd' }]],
  ['fileAnnotations', [{ fileName: 'f' }]],
  ['usedTools', [{ tool: 't', toolInput: 'secret' }]],
  ['calledTools', [{ tool: 't', toolInput: 'secret' }]],
  ['agentReasoning', [{ instructions: 'secret' }]],
  ['nextAgent', 'member A'],
  ['agentFlowExecutedData', EXECUTED],
  ['usageMetadata', { total_tokens: 3 }],
  ['agent_trace', { step: 'secret' }],
  ['action', ACTION],
  ['unheardOf', 'secret'],
  ['metadata', { chatId: 'hidden', chatMessageId: 'hidden', flowVariables: 'secret', action: ACTION }]
] as const satisfies Fault['events']
const ANSWER = {
  text: 'answer',
  sourceDocuments: [{ pageContent: 'member p' }],
  artifacts: [{ type: 'png', data: 'd' }],
  usedTools: [{ tool: 't', toolInput: 'secret' }],
  agentFlowExecutedData: EXECUTED,
  action: ACTION,
  executionId: 'secret',
  chatId: 'hidden',
  chatMessageId: 'hidden',
  sessionId: 'hidden'
}

const BASE = ['agentFlowEvent', 'start', 'token', 'artifacts', 'fileAnnotations']
const WIDGET = ['nextAgentFlow', 'agentFlowExecutedData', 'action']
const MEMBER = [...BASE, 'thinking', 'nextAgentFlow', 'sourceDocuments', 'nextAgent']
const ALL = EVENTS.map(([event]) => event).filter((event) => event !== 'metadata')

/** Profile of the chatflow, who asks, and what is seen: in a stream, in JSON, and in the history. */
const TABLE = [
  { redaction: null, by: 'member', chat: MEMBER, flowise: [...MEMBER, ...WIDGET], depth: 'member' },
  { redaction: 'public', by: 'member', chat: BASE, flowise: [...BASE, ...WIDGET], depth: 'public' },
  { redaction: 'member', by: 'member', chat: MEMBER, flowise: [...MEMBER, ...WIDGET], depth: 'member' },
  { redaction: 'developer', by: 'member', chat: ALL, flowise: ALL, depth: 'developer' },
  { redaction: 'public', by: 'stranger', chat: undefined, flowise: [...BASE, ...WIDGET], depth: 'public' },
  { redaction: 'member', by: 'stranger', chat: undefined, flowise: [...BASE, ...WIDGET], depth: 'public' },
  { redaction: 'developer', by: 'stranger', chat: undefined, flowise: [...BASE, ...WIDGET], depth: 'public' }
] as const

/** What must not be found, by depth. */
const NEVER = { public: /secret|sk-1|hidden|member/, member: /secret|sk-1|hidden/, developer: /hidden/ } as const

async function start(t: Test) {
  const gateway = await startStreams(t)
  const { request, user, url, standIn } = gateway
  const minted = await request('POST', '/api/v1/auth/embed-tokens', { token: user.token, body: { chatflow_id: echo } })
  const pathOf = (by: string) => (by === 'stranger' ? `/e/${minted.json().token}/api/v1` : '/api/v1')
  const post = async (path: string, body: Record<string, unknown>, headers: Record<string, string> = {}) => {
    standIn.next(body.streaming === true ? { events: EVENTS } : { answer: ANSWER })
    const token = path.startsWith('/e/') ? {} : { token: user.token }
    const wire = open(`${url}${path}`, { ...token, body: { question: 'q', ...body }, headers })
    const text = await wire.ended
    await idle(gateway)
    return text
  }
  const seen = new Set<string>()
  /** Of the answer that has come since this was asked last. */
  const newData = async () => {
    const answers = (await stored(gateway).messages()).filter(({ id, role }) => role === 'assistant' && !seen.has(id))
    for (const { id } of answers) seen.add(id)
    return answers.length === 1 ? answers[0]?.data : undefined
  }
  return { ...gateway, pathOf, post, newData }
}

const namesIn = (text: string) => new Set(eventsOf(text).map(({ event }) => event))

t.test('what is seen on every path, by profile and by who asks', async (t) => {
  const { configure, post, pathOf, ...gateway } = await start(t)
  for (const { redaction, by, chat, flowise, depth } of TABLE) {
    const name = `${redaction} for a ${by}`
    t.equal((await configure({ redaction })).statusCode, 200)
    if (chat) {
      const stream = await post('/chat/predict', { chatflow_id: echo, streaming: true })
      t.same(namesIn(stream), new Set(['session_id', ...chat, 'metadata', 'end']), name)
      t.notMatch(stream, NEVER[depth], name)
      const json = JSON.parse(await post('/chat/predict', { chatflow_id: echo }))
      t.equal(json.result.sourceDocuments !== undefined, depth !== 'public', name)
      t.equal(json.result.usedTools !== undefined, depth === 'developer', name)
      t.notMatch(JSON.stringify(json), NEVER[depth], name)
      t.same(json.result.chatId ?? json.result.sessionId, undefined)
    }
    const path = `${pathOf(by)}/prediction/${echo}`
    const stream = await post(path, { streaming: true, chatId: 'own' })
    t.same(namesIn(stream), new Set([...flowise, 'metadata', 'end']), name)
    t.notMatch(stream, NEVER[depth], name)
    const answer = await post(path, { chatId: 'own' })
    t.notMatch(answer, NEVER[depth], name)
    t.match(JSON.parse(answer), { text: 'answer', chatId: 'own', agentFlowExecutedData: [{ nodeId: 'n' }] }, name)
    t.match(JSON.parse(answer).action, { mapping: { toolCalls: [{ id: 'c', name: 'mail' }] } }, name)
  }
  await settled(t, gateway, gateway.user.id)
})

t.test('for developers the bytes of every event are those that Flowise sent', async (t) => {
  const { configure, post } = await start(t)
  await configure({ redaction: 'developer' })
  const wanted = EVENTS.slice(0, -1).map(([event, data]) => JSON.stringify({ event, data }))
  const flowise = await post(`/api/v1/prediction/${echo}`, { streaming: true })
  t.ok(flowise.startsWith(wanted.map((json) => `message:\ndata:${json}\n\n`).join('')))
  const chat = await post('/chat/predict', { chatflow_id: echo, streaming: true })
  t.same(
    chat
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .slice(1, -2),
    wanted.map((json) => `data: ${json}`)
  )
  const lines = await post('/v1/chat/completions', { ...completion, stream: true })
  t.notMatch(lines, NEVER.public, 'the form of OpenAI has text and no more')
})

const completion = { model: echo, messages: [{ role: 'user', content: 'q' }] }

t.test('the history keeps what was seen, and of what only developers see nothing', async (t) => {
  const { configure, post, pathOf, newData } = await start(t)
  const kept = async (redaction: string, path: string, streaming: boolean) => {
    await configure({ redaction })
    await post(path, { chatflow_id: echo, streaming })
    return Object.keys((await newData()) ?? {}).toSorted()
  }
  const path = `${pathOf('stranger')}/prediction/${echo}`
  for (const streaming of [true, false]) {
    const annotated = streaming ? ['fileAnnotations'] : []
    const shown = ['artifacts', ...annotated]
    t.same(await kept('public', '/chat/predict', streaming), shown)
    t.same(await kept('member', '/chat/predict', streaming), [...shown, 'sourceDocuments'])
    t.same(await kept('developer', '/chat/predict', streaming), [...shown, 'sourceDocuments'])
    t.same(await kept('developer', path, streaming), shown, 'what a stranger was shown')
  }
})

t.test('a repeated idempotency key shows nothing that the profile of the moment hides', async (t) => {
  const { configure, post, standIn } = await start(t)
  const ask = async () =>
    JSON.parse(await post('/chat/predict', { chatflow_id: echo }, { 'idempotency-key': 'k' })).result
  await configure({ redaction: 'developer' })
  t.match(await ask(), { usedTools: Array, executionId: 'secret' })
  const sent = standIn.predictions.length
  t.same(Object.keys(await ask()), ['text', 'question', 'sourceDocuments', 'artifacts'], 'what is kept is for members')
  await configure({ redaction: 'public' })
  t.same(Object.keys(await ask()), ['text', 'question', 'artifacts'])
  t.equal(standIn.predictions.length, sent)
})
