import * as fc from 'fast-check'
import t from 'tap'
import { createFrame, type Frame } from '../../src/flowise/frame.ts'
import { DEFAULT_RESPONSE_FIELDS } from '../../src/flowise/profiles.ts'
import { createTranscript, cutToBytes, isOutput, type Transcript } from '../../src/flowise/transcript.ts'
import { framesOf, jsonOf } from './frames.ts'

function transcriptOf(frames: Frame[], options: Partial<Parameters<typeof createTranscript>[0]> = {}): Transcript {
  const transcript = createTranscript({ allowed: DEFAULT_RESPONSE_FIELDS, ...options })
  for (const frame of frames) transcript.add(frame)
  return transcript
}

t.test('the tokens of a recorded stream are the text of the recorded JSON answer', async (t) => {
  t.equal(transcriptOf(framesOf('02-stream-chatflow')).text, 'Echo: hello there world')
  t.match(jsonOf('01-nonstream-chatflow'), { text: 'Echo: hello there world' })
  t.match(jsonOf('51-chatmessage-key'), [{ role: 'userMessage' }, { content: 'Echo: hello there world' }])
  t.equal(transcriptOf(framesOf('06-stream-agentflow-llm')).text, 'Echo: one two three')
  t.equal(transcriptOf(framesOf('03-stream-unicode')).text, 'héllo 日本語 🙂👩‍👩‍👧\n\nline "two"\r\n\\end')
})

t.test('the first token, which start carries too, is counted once', async (t) => {
  const frames = [createFrame('start', 'Hel'), createFrame('token', 'Hel'), createFrame('token', 'lo')]
  t.equal(transcriptOf(frames).text, 'Hello')
  t.notOk(transcriptOf([createFrame('start', 'Hel')]).hasOutput)
})

t.test('metadata, tokens used and message id are read', async (t) => {
  const agent = transcriptOf(framesOf('06-stream-agentflow-llm'))
  t.same(agent.usage, { input: 11, output: 4, total: 15 })
  t.equal(agent.chatMessageId, '0c92ecaf-5444-4a46-b412-ab755813aca6')
  t.equal(transcriptOf(framesOf('02-stream-chatflow')).usage, undefined)
  t.equal(transcriptOf([createFrame('usageMetadata', { input_tokens: 2, output_tokens: 3 })]).usage?.total, 5)
  const nodes = [1, 2].map((total_tokens) => ({ data: { output: { usageMetadata: { total_tokens } } } }))
  const both = [createFrame('agentFlowExecutedData', nodes), createFrame('usageMetadata', { total_tokens: 2 })]
  t.equal(transcriptOf(both).usage?.total, 3, 'all nodes, not only the last one')
  t.equal(transcriptOf([createFrame('metadata', { followUpPrompts: '["a"]' })]).followUpPrompts, '["a"]')
})

t.test('output is a token with text, an artifact or a tool event', async (t) => {
  const paid = [
    createFrame('token', ' '),
    createFrame('artifacts', [{}]),
    createFrame('usedTools', [{}]),
    createFrame('calledTools', [{}]),
    createFrame('tool', 'search')
  ]
  const free = [
    createFrame('token', ''),
    createFrame('start', ''),
    createFrame('artifacts', []),
    createFrame('calledTools', []),
    createFrame('sourceDocuments', [{}]),
    createFrame('metadata', {})
  ]
  for (const frame of paid) t.ok(isOutput(frame), frame.json)
  for (const frame of free) t.notOk(isOutput(frame), frame.json)
  t.notOk(transcriptOf(framesOf('16-locked-nokey-stream')).hasOutput)
  t.ok(transcriptOf(framesOf('21-llm-midstream-drop')).hasOutput)
})

t.test('allowed fields are kept by name, the last version of each, without prompts', async (t) => {
  const frames = [
    createFrame('sourceDocuments', [1]),
    createFrame('sourceDocuments', [1, 2]),
    createFrame('usedTools', ['not listed']),
    createFrame('metadata', { chatId: 'internal', question: 'q', followUpPrompts: '["a"]' })
  ]
  t.strictSame(transcriptOf(frames).data, { sourceDocuments: [1, 2], followUpPrompts: '["a"]' })
  t.equal(transcriptOf([createFrame('token', 'x')]).data, undefined)
  const stored = JSON.stringify(
    transcriptOf(framesOf('06-stream-agentflow-llm'), { allowed: ['agentFlowExecutedData'] }).data
  )
  t.match(stored, 'LLM 0')
  t.notMatch(stored, /sk-fake|input|chatHistory/)
})

t.test('fields that are too large together are left out, and it is said', async (t) => {
  const frames = [createFrame('artifacts', ['x'.repeat(60)]), createFrame('sourceDocuments', ['y'.repeat(60)])]
  const large = transcriptOf(frames, { maxDataBytes: 100 })
  t.equal(large.data, undefined)
  t.ok(large.isDataOmitted)
  t.notOk(transcriptOf(frames, { maxDataBytes: 200 }).isDataOmitted)
})

t.test('long text is cut between two characters, and it is said', async (t) => {
  const frames = ['aé', '🙂🙂', 'more'].map((token) => createFrame('token', token))
  const table: [number, string, boolean][] = [
    [0, '', true],
    [2, 'a', true],
    [3, 'aé', true],
    [6, 'aé', true],
    [7, 'aé🙂', true],
    [11, 'aé🙂🙂', true],
    [15, 'aé🙂🙂more', false]
  ]
  for (const [maxTextBytes, text, isTruncated] of table) {
    t.match(transcriptOf(frames, { maxTextBytes }), { text, isTruncated, hasOutput: true }, `${maxTextBytes} bytes`)
  }
})

t.test('cutting never exceeds the limit and never leaves half a character', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(40), (text, limit) => {
      const cut = cutToBytes(text, limit)
      return Buffer.byteLength(cut) <= limit && text.startsWith(cut) && cut.isWellFormed()
    })
  )
})
