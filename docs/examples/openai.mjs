// The npm package `openai` against the gateway.
//   GATEWAY_URL=http://localhost:8000 GATEWAY_API_KEY=fgw_… node openai.mjs
import OpenAI from 'openai'

const openai = new OpenAI({
  baseURL: `${process.env.GATEWAY_URL ?? 'http://localhost:8000'}/v1`,
  apiKey: process.env.GATEWAY_API_KEY
})

// The chatflows you may use. An administrator gives them readable ids: PATCH /api/v1/admin/chatflows/{id} {"alias": "…"}.
const models = []
for await (const { id } of openai.models.list()) models.push(id)
console.log('models:', models.join(', '))
const model = process.env.GATEWAY_MODEL ?? models[0]

// One answer. Every call stands alone: what was said before goes along as messages.
const completion = await openai.chat.completions.create({
  model,
  messages: [
    { role: 'user', content: 'My name is Ada.' },
    { role: 'assistant', content: 'Hello Ada!' },
    { role: 'user', content: 'What is my name?' }
  ]
})
console.log('answer:', completion.choices[0].message.content)
console.log('charged:', completion.gateway.credits_charged)

// An answer as it comes. Flows that report their tokens tell them in the last chunk.
const stream = await openai.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'Say that again, slowly.' }],
  stream: true,
  stream_options: { include_usage: true }
})
let text = ''
for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
console.log('streamed:', text)

// A conversation that the gateway remembers: only the new question is needed.
const talk = { headers: { 'X-Session-Id': `example-${Date.now()}` } }
for (const content of ['I like tea.', 'What do I like?']) {
  const reply = await openai.chat.completions.create({ model, messages: [{ role: 'user', content }] }, talk)
  console.log('remembered:', reply.choices[0].message.content)
}

// What is refused says what is wrong.
try {
  await openai.chat.completions.create({ model: 'no-such-model', messages: [{ role: 'user', content: 'Hello?' }] })
} catch (error) {
  console.log('refused:', error.status, error.code, error.param)
}
