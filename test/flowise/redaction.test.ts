import t from 'tap'
import { createFrame, type Frame } from '../../src/flowise/frame.ts'
import type { RedactionSettings } from '../../src/flowise/profiles.ts'
import { createRedaction } from '../../src/flowise/redaction.ts'

const PROFILES = ['public', 'member', 'developer'] as const

function redactionOf(settings: RedactionSettings = {}, isStranger = false) {
  return createRedaction(settings, { isStranger, messageId: 'own-message' })
}

function eventsOf(frames: Frame[], settings: RedactionSettings, isStranger = false) {
  const { event, flowiseEvent } = redactionOf(settings, isStranger)
  const names = (filter: typeof event) => frames.flatMap((frame) => filter(frame)?.event ?? [])
  return { chat: names(event), flowise: names(flowiseEvent) }
}

const FRAMES = [
  createFrame('agentFlowEvent', 'INPROGRESS'),
  createFrame('start', ''),
  createFrame('thinking', 'hm'),
  createFrame('token', 'a'),
  createFrame('sourceDocuments', [{ pageContent: 'p' }]),
  createFrame('artifacts', [{ type: 'png' }]),
  createFrame('usedTools', [{ tool: 't', toolInput: 'secret' }]),
  createFrame('agentReasoning', [{ messages: ['secret'] }]),
  createFrame('nextAgent', 'A'),
  createFrame('unheardOf', 1)
]

t.test('a chatflow without a profile is for members, and an embed token is a stranger whatever it says', async (t) => {
  t.equal(redactionOf().profile, 'member')
  for (const redaction of PROFILES) {
    t.equal(redactionOf({ redaction }).profile, redaction)
    t.equal(redactionOf({ redaction }, true).profile, 'public')
  }
  t.strictSame(eventsOf(FRAMES, { redaction: 'developer' }, true), eventsOf(FRAMES, { redaction: 'public' }))
})

t.test("an administrator's lists: another choice for members, less for strangers, nothing to developers", async (t) => {
  const lists = { streamEvents: ['usedTools', 'artifacts'], responseFields: ['usedTools', 'text'] }
  const always = ['agentFlowEvent', 'start', 'token']
  t.strictSame(eventsOf(FRAMES, lists).chat, [...always, 'artifacts', 'usedTools'])
  t.strictSame(eventsOf(FRAMES, { ...lists, redaction: 'public' }).chat, [...always, 'artifacts'])
  t.strictSame(eventsOf(FRAMES, { ...lists, redaction: 'public', streamEvents: [] }).chat, always)
  t.strictSame(
    eventsOf(FRAMES, { ...lists, redaction: 'developer' }).chat,
    FRAMES.map(({ event }) => event)
  )
  const answer = { text: 't', artifacts: [], usedTools: [{ toolInput: 'secret' }], chatId: 'secret' }
  const result = (redaction: (typeof PROFILES)[number]) => redactionOf({ ...lists, redaction }).result(answer)
  t.strictSame(result('public'), { text: 't' })
  t.strictSame(result('member'), { usedTools: answer.usedTools, text: 't' })
  t.strictSame(result('developer'), { text: 't', artifacts: [], usedTools: answer.usedTools })
  t.strictSame(redactionOf({ ...lists, redaction: 'developer' }).kept, ['usedTools', 'text'], 'for the history')
})

t.test('what nobody can do without passes whatever the lists say', async (t) => {
  for (const redaction of PROFILES)
    for (const isStranger of [true, false]) {
      const { chat, flowise } = eventsOf(FRAMES, { redaction, streamEvents: [], responseFields: [] }, isStranger)
      for (const names of [chat, flowise]) t.match(names.join(), /^agentFlowEvent,start,(thinking,)?token/)
    }
})

t.test('an event that needs no change keeps its text', async (t) => {
  const json = '{"event":"thinking","data":"","duration":1.50}'
  const frame = { event: 'thinking', data: '', members: { event: 'thinking', data: '', duration: 1.5 }, json }
  t.equal(redactionOf().event(frame)?.json, json)
  t.equal(redactionOf({ redaction: 'developer' }).event(frame)?.json, json)
  const token = {
    event: 'token',
    data: 'a',
    members: { event: 'token', data: 'a' },
    json: '{"event":"token","data":"a" }'
  }
  for (const redaction of PROFILES) t.equal(redactionOf({ redaction }).event(token), token, redaction)
})

t.test('ids beside the data are taken out, of tokens too, for developers too', async (t) => {
  for (const redaction of PROFILES)
    for (const event of ['token', 'artifacts']) {
      const members = { event, data: 'a', chatId: 'secret' }
      const frame = { event, data: 'a', members, json: JSON.stringify(members) }
      t.equal(redactionOf({ redaction }).event(frame)?.json, `{"event":"${event}","data":"a"}`, redaction)
    }
})

t.test('a token that is no text shows nothing of what it is', async (t) => {
  const frame = createFrame('token', { content: 'secret' })
  for (const redaction of ['public', 'member'] as const)
    for (const filter of [redactionOf({ redaction }).event, redactionOf({ redaction }).flowiseEvent])
      t.equal(filter(frame)?.json, '{"event":"token","data":""}', redaction)
  t.equal(redactionOf({ redaction: 'developer' }).event(frame), frame)
})

t.test('an id of the conversation is no event, not even a listed one', async (t) => {
  for (const redaction of PROFILES)
    for (const name of ['chatId', 'sessionId', 'memoryType', 'chatMessageId']) {
      const { event, flowiseEvent } = redactionOf({ redaction, streamEvents: [name] })
      t.equal(event(createFrame(name, 'x')), undefined, name)
      t.equal(flowiseEvent(createFrame(name, 'x')), undefined, name)
    }
})

t.test('an annotated file is named without the place where Flowise keeps it', async (t) => {
  const file = { fileName: 'a.csv', filePath: '/root/.flowise/storage/flow/their-chat-id/a.csv' }
  const named = { fileName: 'b.csv', filePath: 'FILE-STORAGE::b.csv' }
  const shown = [{ fileName: 'a.csv' }, named]
  for (const redaction of ['public', 'member'] as const) {
    const { event, flowiseResult } = redactionOf({ redaction })
    t.same(JSON.parse(event(createFrame('fileAnnotations', [file, named, 'odd']))?.json ?? '').data, shown)
    t.same(flowiseResult({ fileAnnotations: [file, named] }), { fileAnnotations: shown })
  }
})

t.test('events of the gateway and its own ids cannot be forged by Flowise', async (t) => {
  const own = ['session_id', 'files_uploaded', 'metadata', 'error', 'abort', 'end', 'message', 'gateway.receipt']
  for (const redaction of PROFILES)
    for (const event of own) {
      const { event: filter, flowiseEvent } = redactionOf({ redaction, streamEvents: [event] })
      t.equal(filter(createFrame(event, 'x')), undefined, event)
      t.equal(flowiseEvent(createFrame(event, 'x')), undefined, event)
    }
})

t.test('reduced events keep what a client shows', async (t) => {
  const { event, flowiseEvent } = redactionOf()
  const next = createFrame('nextAgentFlow', { nodeId: 'a', nodeLabel: 'A', status: 'ERROR', error: 'key sk-1' })
  t.equal(event(next)?.json, '{"event":"nextAgentFlow","data":{"nodeId":"a","nodeLabel":"A","status":"ERROR"}}')
  const reasoning = createFrame('start', [{ agentName: 'a', messages: ['secret'] }])
  t.equal(event(reasoning)?.json, '{"event":"start","data":""}')
  const executed = createFrame('agentFlowExecutedData', [{ nodeId: 'a', status: 'FINISHED', data: {} }, 'odd'])
  t.same(JSON.parse(flowiseEvent(executed)?.json ?? ''), {
    event: 'agentFlowExecutedData',
    data: [{ nodeId: 'a', status: 'FINISHED', previousNodeIds: [] }]
  })
  const mapping = { approve: 'Yes', reject: 'No', toolCalls: [{ id: 'c1', name: 'mail', args: { to: 'secret' } }] }
  const action = createFrame('action', { id: 'i', mapping, elements: [], state: 'secret' })
  t.same(JSON.parse(flowiseEvent(action)?.json ?? ''), {
    event: 'action',
    data: { id: 'i', mapping: { ...mapping, toolCalls: [{ id: 'c1', name: 'mail' }] }, elements: [] }
  })
})

t.test("a spoken answer names the gateway's message, for every profile", async (t) => {
  for (const redaction of PROFILES) {
    const spoken = createFrame('tts_data', { chatMessageId: 'secret', audioChunk: 'AA==' })
    const { flowiseEvent } = redactionOf({ redaction })
    t.same(JSON.parse(flowiseEvent(spoken)?.json ?? '').data, { chatMessageId: 'own-message', audioChunk: 'AA==' })
  }
})
