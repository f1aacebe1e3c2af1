import t from 'tap'
import { type Answer, answerFrames, readAnswer } from '../../src/flowise/answer.ts'
import { createRedaction } from '../../src/flowise/redaction.ts'
import { usageOfExecution } from '../../src/flowise/usage.ts'
import { jsonOf } from './frames.ts'

t.test('the text is text, else json serialised, else empty', async (t) => {
  const table: [unknown, string, boolean][] = [
    [{ text: 'hello' }, 'hello', false],
    [{ text: '[1,2]' }, '[1,2]', false],
    [{ text: '', json: { a: 1 } }, '{"a":1}', false],
    [{ json: [1] }, '[1]', false],
    [{ text: { a: 1 } }, '{"a":1}', false],
    [{ text: 0 }, '0', false],
    [{ text: '', artifacts: [{ type: 'png', data: 'x' }] }, '', false],
    [{ text: '', artifacts: [] }, '', true],
    [{ text: null, json: null }, '', true],
    [{}, '', true],
    [null, '', true],
    ['just words', 'just words', false],
    [[1, 2], '[1,2]', false]
  ]
  for (const [json, text, isEmpty] of table) t.match(readAnswer(json), { text, isEmpty }, JSON.stringify(json))
})

t.test('recorded answers give text, message id and tokens', async (t) => {
  t.match(readAnswer(jsonOf('01-nonstream-chatflow')), {
    text: 'Echo: hello there world',
    chatMessageId: '88f897df-4bd4-4a54-96fc-8a537a744b4a'
  })
  const agent = readAnswer(jsonOf('07-nonstream-agentflow-llm'))
  t.equal(usageOfExecution(agent.result.agentFlowExecutedData)?.total, 15)
})

t.test('follow-up prompts are encoded once, however Flowise encoded them', async (t) => {
  const prompts = JSON.stringify(['a', 'b'])
  t.equal(readAnswer({ followUpPrompts: JSON.stringify(prompts) }).followUpPrompts, prompts)
  t.equal(readAnswer({ followUpPrompts: prompts }).followUpPrompts, prompts)
  t.equal(readAnswer({ followUpPrompts: ['a', 'b'] }).followUpPrompts, prompts)
  t.notOk('followUpPrompts' in readAnswer({ followUpPrompts: '' }))
})

t.test('an answer becomes the events of a stream: one token, then the listed fields', async (t) => {
  const answer = readAnswer({
    text: 'hi',
    question: 'q',
    json: { a: 1 },
    sourceDocuments: [1],
    usedTools: [2],
    chatId: 'internal',
    followUpPrompts: '["x"]'
  })
  const { result } = createRedaction({}, { isStranger: false, messageId: 'message' })
  const framesOf = (read: Answer) => answerFrames(read, result(read.result))
  const events = framesOf(answer).map(({ json }) => json)
  t.strictSame(events, [
    '{"event":"token","data":"hi"}',
    '{"event":"json","data":{"a":1}}',
    '{"event":"sourceDocuments","data":[1]}'
  ])
  t.strictSame(
    framesOf(readAnswer({ json: { a: 1 } })).map(({ data }) => data),
    ['{"a":1}']
  )
  t.strictSame(framesOf(readAnswer({})), [])
})
