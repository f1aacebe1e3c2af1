import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startStreams } from './streams.ts'
import { settled, textOf } from './tools.ts'

const MIB = 1_048_576
const DOCUMENTS = Array.from({ length: 300 }, (_, n) => ({ pageContent: 'x'.repeat(1024), metadata: { n } }))

/** Asks in both forms; answers the text that the client got and what the history says of it. */
async function start(t: Parameters<typeof startStreams>[0]) {
  const gateway = await startStreams(t, { MAX_ANSWER_MB: '8' })
  const { played, standIn, request, user } = gateway
  async function historyOf(session: string) {
    const { body } = await request('GET', `/chat/sessions/${session}/history`, { token: user.token })
    return JSON.parse(body).messages[1]
  }
  return {
    ...gateway,
    async streamed(events: readonly (readonly [string, unknown])[]) {
      const { text } = await played({ events }, { sessionId: 'stream' })
      return { text, told: textOf(text), stored: await historyOf('stream') }
    },
    async whole(answer: Record<string, unknown>) {
      standIn.next({ body: JSON.stringify(answer) })
      const body = { chatflow_id: DEMO_IDS.echo, question: 'hi', sessionId: 'json' }
      const reply = await request('POST', '/chat/predict', { token: user.token, body })
      return { text: reply.body, told: reply.json().response, stored: await historyOf('json') }
    }
  }
}

t.test('text above 1 MiB reaches the client whole and the history cut, between two characters', async (t) => {
  const gateway = await start(t)
  const token = `${'🙂'.repeat(25_000)}x`
  const events = Array.from({ length: 20 }, () => ['token', token] as const)
  const text = token.repeat(20)
  for (const { told, stored } of [await gateway.streamed(events), await gateway.whole({ text })]) {
    t.ok(told === text, 'the client has it all')
    t.equal(stored.truncated, true)
    t.equal(stored.status, 'complete')
    t.ok(text.startsWith(stored.content))
    const bytes = Buffer.byteLength(stored.content)
    t.ok(bytes <= MIB && bytes > MIB - 4, `${bytes} bytes are kept`)
  }
  await settled(t, gateway, gateway.user.id)
})

t.test('fields above 256 KiB reach the client and are left out of the history', async (t) => {
  const gateway = await start(t)
  const events = [
    ['token', 'T'],
    ['sourceDocuments', DOCUMENTS]
  ] as const
  for (const reply of [
    await gateway.streamed(events),
    await gateway.whole({ text: 'T', sourceDocuments: DOCUMENTS })
  ]) {
    t.ok(reply.text.includes('"n":299'))
    t.match(reply.stored, { content: 'T', status: 'complete', data_omitted: true })
    t.equal(reply.stored.data, undefined)
  }
})

t.test('fields below it are kept alike in both forms', async (t) => {
  const gateway = await start(t)
  const few = DOCUMENTS.slice(0, 2)
  const streamed = await gateway.streamed([
    ['token', 'T'],
    ['sourceDocuments', few],
    ['usedTools', [{ toolInput: 'secret' }]],
    ['agentFlowExecutedData', [{ data: { input: 'secret' } }]]
  ])
  const whole = await gateway.whole({
    text: 'T',
    question: 'hi',
    sourceDocuments: few,
    usedTools: [{ toolInput: 'secret' }],
    agentFlowExecutedData: [{ data: { input: 'secret' } }]
  })
  t.same(streamed.stored.data, { sourceDocuments: few })
  t.same(whole.stored.data, { sourceDocuments: few })
})
