// The npm package `flowise-sdk` against the gateway: nothing changes but the address and the key.
//   GATEWAY_URL=http://localhost:8000 GATEWAY_API_KEY=fgw_… GATEWAY_CHATFLOW=… node sdk.mjs
import flowise from 'flowise-sdk'

const client = new flowise.FlowiseClient({
  baseUrl: process.env.GATEWAY_URL ?? 'http://localhost:8000',
  apiKey: process.env.GATEWAY_API_KEY
})
const chatflowId = process.env.GATEWAY_CHATFLOW

// One answer. What goes wrong comes back in the same object, with a sentence in `message`.
const answer = await client.createPrediction({ chatflowId, question: 'My name is Ada.' })
if (answer.message !== undefined) throw new Error(answer.message)
console.log('answer:', answer.text)
console.log('charged:', answer.credits_charged)

// The next turn of the same conversation, as it comes. A flow that cannot stream answers in one piece here too.
const { chatId } = answer
const question = 'What did I say before?'
const reply = await client.createPrediction({ chatflowId, question, chatId, streaming: true })
if (Symbol.asyncIterator in reply) {
  let text = ''
  for await (const { event, data } of reply) {
    if (event === 'token') text += data
    if (event === 'error') console.log('failed:', data)
  }
  console.log('streamed:', text)
} else {
  console.log('answer:', reply.text)
}
