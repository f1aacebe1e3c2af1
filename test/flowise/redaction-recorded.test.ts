import { readdirSync } from 'node:fs'
import t from 'tap'
import type { Frame } from '../../src/flowise/frame.ts'
import { isRecord } from '../../src/flowise/json.ts'
import type { Profile } from '../../src/flowise/profiles.ts'
import { createRedaction } from '../../src/flowise/redaction.ts'
import { createTranscript } from '../../src/flowise/transcript.ts'
import { readCapture } from '../fixtures/flowise/read.ts'
import { framesOf, jsonOf } from './frames.ts'

/** Prompts, base URLs, keys, tool inputs, provider texts and Flowise's ids, as they stand in the recordings. */
const SECRETS =
  /sk-fake|openAIApiKey|basepath|127\.0\.0\.1|ModelConfig|chatHistory|"input":(?!{"humanInputEnableFeedback":true})|"output"|"messages"|toolInput|aborted|terminated|Incorrect API key|Unauthorized|401|Troubleshooting|chatId|sessionId|chatMessageId|memoryType|executionId/
const ALL = [
  'agentFlowExecutedData',
  'action',
  'nextAgentFlow',
  'start',
  'chatId',
  'sessionId',
  'memoryType',
  'chatMessageId',
  'metadata',
  'error',
  'end'
]
const LISTS = [{}, { streamEvents: ALL, responseFields: ALL }, { streamEvents: [], responseFields: [] }]
const VIEWERS: [profile: Profile, isStranger: boolean][] = [
  ['public', false],
  ['member', false],
  ['member', true],
  ['developer', true]
]

const names = readdirSync(new URL('../fixtures/flowise/', import.meta.url))
  .filter((name) => name.endsWith('.raw') && !name.startsWith('51-'))
  .map((name) => name.slice(0, -'.raw'.length))
const isStream = (name: string) => readCapture(name).headers['content-type']?.startsWith('text/event-stream') === true
const streams = names.filter(isStream)
const answers = names.filter((name) => !isStream(name))

function redactionOf(redaction: Profile, isStranger = false, lists: (typeof LISTS)[number] = {}) {
  return createRedaction({ redaction, ...lists }, { isStranger, messageId: 'own-message' })
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {}
}

const metadataOf = (frames: Frame[]) => record(frames.find(({ event }) => event === 'metadata')?.data)

t.test('there are recordings of every kind', async (t) => {
  t.ok(streams.length >= 17, `${streams.length} streams`)
  t.ok(answers.length >= 6, `${answers.length} answers`)
  const recorded = streams.map((name) => readCapture(name).body.toString()).join('')
  t.match(recorded, SECRETS, 'in which there is something to hide')
})

t.test('no prompt, key, address, id or provider text leaves to strangers and members, on no path', async (t) => {
  for (const [profile, isStranger] of VIEWERS)
    for (const lists of LISTS) {
      const redaction = redactionOf(profile, isStranger, lists)
      const { event, flowiseEvent, result, flowiseResult, flowiseMetadata, kept } = redaction
      for (const name of streams) {
        const frames = framesOf(name)
        const transcript = createTranscript({ allowed: kept })
        for (const frame of frames) transcript.add(frame)
        const left = [
          ...frames.flatMap((frame) => [event(frame)?.json, flowiseEvent(frame)?.json]),
          JSON.stringify(flowiseMetadata(metadataOf(frames))),
          JSON.stringify(transcript.data)
        ].filter((text) => text !== undefined)
        t.notMatch(left.join('\n'), SECRETS, `${profile} ${name}`)
      }
      for (const name of answers) {
        const answer = record(jsonOf(name))
        t.notMatch(JSON.stringify([result(answer), flowiseResult(answer)]), SECRETS, `${profile} ${name}`)
      }
    }
})

t.test('for developers every event is byte for byte as recorded, and an answer is whole but for its ids', async (t) => {
  const { event, flowiseEvent, result } = redactionOf('developer')
  for (const name of streams) {
    const frames = framesOf(name).filter((frame) => !['metadata', 'error', 'end'].includes(frame.event))
    const wanted = frames.map(({ json }) => `data:${json}\n\n`)
    const recorded = readCapture(name).body.toString()
    t.ok(
      wanted.every((text) => recorded.includes(text)),
      `${name} is read without a change`
    )
    for (const filter of [event, flowiseEvent])
      t.strictSame(
        frames.map((frame) => `data:${filter(frame)?.json}\n\n`),
        wanted,
        name
      )
  }
  for (const name of answers) {
    const { chatId: _c, sessionId: _s, memoryType: _t, chatMessageId: _m, ...whole } = record(jsonOf(name))
    t.strictSame(result(record(jsonOf(name))), whole, name)
  }
})

t.test('whoever may see more sees all that others see', async (t) => {
  const seen = (profile: Profile, frames: Frame[], path: 'event' | 'flowiseEvent') =>
    new Set(frames.flatMap((frame) => redactionOf(profile)[path](frame)?.event ?? []))
  for (const name of streams)
    for (const path of ['event', 'flowiseEvent'] as const) {
      const [strangers, members, developers] = (['public', 'member', 'developer'] as const).map((profile) =>
        seen(profile, framesOf(name), path)
      )
      t.ok(
        [...(strangers ?? [])].every((event) => members?.has(event)),
        name
      )
      t.ok(
        [...(members ?? [])].every((event) => developers?.has(event)),
        name
      )
    }
})

t.test("a stranger's widget gets its bubble, its Stop button and its approval buttons", async (t) => {
  const { flowiseEvent, flowiseResult, flowiseMetadata } = redactionOf('member', true)
  const shown = (name: string) => new Set(framesOf(name).map((frame) => flowiseEvent(frame)?.event))
  t.strictSame(
    shown('74-human-1-stream'),
    new Set(['agentFlowEvent', 'nextAgentFlow', 'agentFlowExecutedData', 'token', 'action', undefined])
  )
  // Without the one member of the node's input it asks for no comment.
  const stopped = { nodeId: 'humanInputAgentflow_0', input: { humanInputEnableFeedback: true } }
  const approval = { action: { mapping: { approve: 'Proceed' }, data: stopped } }
  t.match(flowiseMetadata(metadataOf(framesOf('74-human-1-stream'))), { question: 'start', ...approval })
  t.strictSame(Object.keys(flowiseResult(record(jsonOf('07-nonstream-agentflow-llm')))), [
    'text',
    'question',
    'agentFlowExecutedData'
  ])
})
