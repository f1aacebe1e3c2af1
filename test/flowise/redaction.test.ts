import t from 'tap'
import { createFrame, type Frame } from '../../src/flowise/frame.ts'
import { isRecord } from '../../src/flowise/json.ts'
import {
  createFlowiseFilter,
  DEFAULT_RESPONSE_FIELDS,
  DEFAULT_STREAM_EVENTS,
  filterEvent,
  filterFlowiseMetadata,
  filterFlowiseResult,
  filterResult
} from '../../src/flowise/redaction.ts'
import { framesOf, jsonOf } from './frames.ts'

const SECRETS =
  /sk-fake|basepath|llmModelConfig|chatHistory|"input"|"output"|aborted|401|cap-|chatId|sessionId|chatMessageId/
const EVERYTHING = [
  'agentFlowExecutedData',
  'action',
  'usedTools',
  'chatId',
  'sessionId',
  'memoryType',
  'chatMessageId',
  'metadata',
  'error',
  'end'
]

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {}
}

function jsonOfAll(frames: Frame[], events: readonly string[]): string[] {
  return frames.map((frame) => filterEvent(frame, events)?.json ?? '').filter((json) => json !== '')
}

t.test('no prompt, key, id or provider text of a recorded stream leaves, even when everything is listed', async (t) => {
  for (const name of [
    '06-stream-agentflow-llm',
    '71-abort-agentflow',
    '74-human-1-stream',
    '79-agentflow-llm-401-stream'
  ]) {
    const visible = jsonOfAll(framesOf(name), [...DEFAULT_STREAM_EVENTS, ...EVERYTHING]).join('\n')
    t.notMatch(visible, SECRETS, name)
    t.match(visible, 'agentFlowExecutedData', name)
    const forEmbed = framesOf(name).map((frame) => createFlowiseFilter(DEFAULT_STREAM_EVENTS)(frame)?.json ?? '')
    t.notMatch(forEmbed.join('\n'), SECRETS, `${name}, for flowise-embed`)
  }
})

t.test('by default execution data, metadata, error and end do not pass', async (t) => {
  const events = new Set(
    framesOf('06-stream-agentflow-llm').map((frame) => filterEvent(frame, DEFAULT_STREAM_EVENTS)?.event)
  )
  t.strictSame(events, new Set(['agentFlowEvent', 'nextAgentFlow', 'token', undefined]))
})

t.test('an event that needs no change keeps its text', async (t) => {
  const json = '{"event":"thinking","data":"","duration":1.50}'
  const frame = { event: 'thinking', data: '', members: {}, json }
  t.equal(filterEvent(frame, DEFAULT_STREAM_EVENTS)?.json, json)
})

t.test('events of the gateway and its own ids cannot be forged by Flowise', async (t) => {
  for (const event of ['session_id', 'files_uploaded', 'metadata', 'error', 'end', 'message']) {
    t.equal(filterEvent(createFrame(event, 'x'), [event]), undefined, event)
    t.equal(createFlowiseFilter([event])(createFrame(event, 'x')), undefined, event)
  }
})

t.test('reduced events keep what a client shows', async (t) => {
  const next = createFrame('nextAgentFlow', { nodeId: 'a', nodeLabel: 'A', status: 'ERROR', error: 'key sk-1' })
  t.equal(
    filterEvent(next, DEFAULT_STREAM_EVENTS)?.json,
    '{"event":"nextAgentFlow","data":{"nodeId":"a","nodeLabel":"A","status":"ERROR"}}'
  )
  const reasoning = createFrame('start', [{ agentName: 'a', messages: ['secret'] }])
  t.equal(filterEvent(reasoning, DEFAULT_STREAM_EVENTS)?.json, '{"event":"start","data":""}')
  const executed = createFrame('agentFlowExecutedData', [
    { nodeId: 'a', nodeLabel: 'A', status: 'FINISHED', data: {} },
    'odd'
  ])
  t.same(JSON.parse(createFlowiseFilter([])(executed)?.json ?? ''), {
    event: 'agentFlowExecutedData',
    data: [{ nodeId: 'a', nodeLabel: 'A', status: 'FINISHED', previousNodeIds: [] }]
  })
})

t.test('a JSON answer is reduced to the listed fields, ids never pass', async (t) => {
  const answer = record(jsonOf('07-nonstream-agentflow-llm'))
  t.strictSame(filterResult(answer, DEFAULT_RESPONSE_FIELDS), { text: answer.text, question: answer.question })
  t.notMatch(JSON.stringify(filterResult(answer, EVERYTHING)), SECRETS)
  const forEmbed = filterFlowiseResult(answer, DEFAULT_RESPONSE_FIELDS)
  t.strictSame(Object.keys(forEmbed), ['text', 'question', 'agentFlowExecutedData'])
  t.notMatch(JSON.stringify(forEmbed), SECRETS)
})

t.test('metadata for flowise-embed keeps the buttons and loses ids and prompts', async (t) => {
  const metadata = record(framesOf('74-human-1-stream').find(({ event }) => event === 'metadata')?.data)
  const visible = filterFlowiseMetadata(metadata)
  t.match(visible, {
    question: 'start',
    action: { mapping: { approve: 'Proceed' }, data: { nodeId: 'humanInputAgentflow_0' } }
  })
  t.notMatch(JSON.stringify(visible), SECRETS)
})
