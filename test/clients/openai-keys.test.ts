import OpenAI from 'openai'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { proves } from './behaviours.ts'
import { type ClientGateway, recorded, startGateway } from './gateway.ts'

const { echo, report, research } = DEMO_IDS
const OPENAI = 'openai'

function openaiOf({ url, apiKey }: Pick<ClientGateway, 'url' | 'apiKey'>) {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, timeout: 30_000 })
}

const saying = (content: string, model: string = echo) => ({ model, messages: [{ role: 'user' as const, content }] })

proves(t, OPENAI, 'turns', async (t) => {
  const openai = openaiOf(await startGateway(t))
  const talk = { headers: { 'X-Session-Id': 'a talk of mine' } }
  await openai.chat.completions.create(saying('My name is Ada'), talk)
  const { choices } = await openai.chat.completions.create(saying('What did I say before?'), talk)
  t.equal(choices[0]?.message.content, 'Before that you said: My name is Ada')
  const alone = await openai.chat.completions.create(saying('What did I say before?'))
  t.equal(alone.choices[0]?.message.content, 'You have not said anything before.')
})

proves(t, OPENAI, 'agents', async (t) => {
  const gateway = await startGateway(t)
  gateway.standIn.next({ events: recorded('06-stream-agentflow-llm') })
  const stream = await openaiOf(gateway).chat.completions.create({ ...saying('one two three', research), stream: true })
  let text = ''
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
  t.equal(text, 'Echo: one two three')
  t.equal(await gateway.credits(), 99)
})

proves(t, OPENAI, 'revoked', async (t) => {
  const gateway = await startGateway(t)
  await gateway.revokeKey()
  const refused = openaiOf(gateway).chat.completions.create(saying('hi'))
  await t.rejects(refused, { status: 401, type: 'authentication_error', code: 'token_revoked' })
})

proves(t, OPENAI, 'forbidden', async (t) => {
  const { url, createKey } = await startGateway(t)
  const apiKey = await createKey({ chatflow_ids: [report] })
  const refused = openaiOf({ url, apiKey }).chat.completions.create(saying('hi'))
  await t.rejects(refused, { status: 403, type: 'permission_error', code: 'chatflow_forbidden' })
})

proves(t, OPENAI, 'unknown', async (t) => {
  const refused = openaiOf(await startGateway(t)).chat.completions.create(saying('hi', 'gpt-4'))
  await t.rejects(refused, { status: 404, code: 'chatflow_not_found', param: 'model' })
})

proves(t, OPENAI, 'discreet', async (t) => {
  const gateway = await startGateway(t)
  const openai = openaiOf(gateway)
  gateway.standIn.next({ events: recorded('06-stream-agentflow-llm') })
  const stream = await openai.chat.completions.create({ ...saying('hi', research), stream: true })
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  const wire = JSON.stringify([chunks, await openai.chat.completions.create(saying('hi', research))])
  t.match(wire, 'I looked into')
  const { user, apiKey, standIn } = gateway
  const upstream = standIn.predictions.map(({ body }) => String(Object(body).chatId))
  const secrets = [
    'sk-fake',
    '127.0.0.1:3997',
    'demo-model-key',
    'secret system prompt',
    user.username,
    user.id,
    apiKey
  ]
  for (const secret of [...secrets, ...upstream]) t.notMatch(wire, secret)
})
