import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { picture } from '../files/samples.ts'
import { proves } from './behaviours.ts'
import { recorded, startGateway } from './gateway.ts'
import { asked, SDK, sdkOf, type SdkEvent, streamed } from './sdk.ts'

const { echo, report, research } = DEMO_IDS

const namesOf = (events: SdkEvent[]) => [...new Set(events.map(({ event }) => event))]
const textOf = (events: SdkEvent[]) =>
  events
    .filter(({ event }) => event === 'token')
    .map(({ data }) => data)
    .join('')

proves(t, SDK, 'answers', async (t) => {
  const gateway = await startGateway(t)
  const answer = await asked(gateway, { question: 'Good morning' })
  t.match(answer, { text: 'Good morning', question: 'Good morning', chatId: String, chatMessageId: String })
  t.equal(await gateway.credits(), 99)
})

proves(t, SDK, 'streams', async (t) => {
  const gateway = await startGateway(t)
  const events = recorded('02-stream-chatflow')
  gateway.standIn.next({ events, gates: { 3: 'later' } })
  const seen = await streamed(gateway, {}, ({ data }) => {
    // What comes later is sent only when what came before has been seen.
    if (data === 'Echo: ') gateway.standIn.gate('later').open()
  })
  t.same(namesOf(seen), ['start', 'token', 'metadata', 'end'])
  t.equal(textOf(seen), textOf(events.map(([event, data]) => ({ event, data }))))
  t.equal(await gateway.credits(), 99)
})

proves(t, SDK, 'agents', async (t) => {
  const gateway = await startGateway(t)
  gateway.standIn.next({ events: recorded('06-stream-agentflow-llm') })
  const seen = await streamed(gateway, { chatflowId: research })
  t.equal(textOf(seen), 'Echo: one two three')
  const progress = ['agentFlowEvent', 'nextAgentFlow', 'agentFlowExecutedData']
  t.same(namesOf(seen), [...progress, 'token', 'metadata', 'end'])
})

proves(t, SDK, 'unstreamable', async (t) => {
  const gateway = await startGateway(t)
  const answer: unknown = await sdkOf(gateway).createPrediction({
    chatflowId: report,
    question: 'May',
    streaming: true
  })
  t.match(answer, { text: 'Report on "May": everything is as it should be.' })
})

proves(t, SDK, 'unicode', async (t) => {
  const gateway = await startGateway(t)
  const events = recorded('03-stream-unicode')
  gateway.standIn.next({ events, pieceBytes: 1 })
  const question = 'Grüße, 你好, שלום, 👩‍👩‍👧‍👦, "quotes" \\ and\nlines\u2028of their own'
  const seen = await streamed(gateway, { question })
  t.equal(textOf(seen), textOf(events.map(([event, data]) => ({ event, data }))))
  t.match(gateway.standIn.predictions.at(-1)?.body, { question })
  t.match(await asked(gateway, { question }), { text: question })
})

proves(t, SDK, 'turns', async (t) => {
  const gateway = await startGateway(t)
  const first = await asked(gateway, { question: 'My name is Ada' })
  const chatId = String(first.chatId)
  const second = await streamed(gateway, { question: 'What did I say before?', chatId })
  t.equal(textOf(second), 'Before that you said: My name is Ada')
  t.match(second.find(({ event }) => event === 'metadata')?.data, { chatId, sessionId: chatId })
})

proves(t, SDK, 'images', async (t) => {
  const gateway = await startGateway(t)
  const bytes = await picture().png().toBuffer()
  const data = `data:image/png;base64,${bytes.toString('base64')}`
  const uploads = [{ type: 'file', name: 'dot.png', mime: 'image/png', data }]
  t.match(await sdkOf(gateway).createPrediction({ chatflowId: echo, question: 'What is it?', uploads }), {
    text: String
  })
  t.match(gateway.standIn.predictions.at(-1)?.body, { uploads })
})

proves(t, SDK, 'left', async (t) => {
  const gateway = await startGateway(t, { env: { STREAM_IDLE_TIMEOUT_MS: '300' } })
  gateway.standIn.next({
    events: [
      ['start', ''],
      ['token', 'Well ']
    ],
    end: 'open'
  })
  const { chatflowId, question, chatId } = { chatflowId: echo, question: 'hi', chatId: 'one-chat' }
  const answer = await sdkOf(gateway).createPrediction({ chatflowId, question, chatId, streaming: true })
  for await (const { event } of answer) if (event === 'token') break
  await gateway.standIn.waitFor(({ url, isLeft }) => url.includes('/prediction/') && isLeft)
  const again = await sdkOf(gateway).createPrediction({ chatflowId, question: 'Are you there?', chatId })
  t.match(again, { text: 'Are you there?' })
})

proves(t, SDK, 'discreet', async (t) => {
  const gateway = await startGateway(t)
  gateway.standIn.next({ events: recorded('06-stream-agentflow-llm') })
  gateway.standIn.next({ events: recorded('79-agentflow-llm-401-stream') })
  const wire = JSON.stringify([
    await streamed(gateway, { chatflowId: research }),
    await streamed(gateway, { chatflowId: research })
  ])
  for (const secret of [
    'sk-fake',
    '127.0.0.1:3997',
    'messages',
    gateway.user.username,
    gateway.user.id,
    gateway.apiKey
  ])
    t.notMatch(wire, secret)
})
