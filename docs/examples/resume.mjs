// A stream that is lost half-way and gone on with, as a page does after a reload or a bad network.
//   GATEWAY_URL=http://localhost:8000 GATEWAY_API_KEY=fgw_… GATEWAY_CHATFLOW=… node resume.mjs
const url = process.env.GATEWAY_URL ?? 'http://localhost:8000'
const headers = { authorization: `Bearer ${process.env.GATEWAY_API_KEY}`, 'content-type': 'application/json' }

/** What a page keeps of an answer: enough to go on with it. */
const answer = { messageId: undefined, lastEventId: undefined, text: '', isOver: false }

/** Takes one event: a block of lines, of which a comment has neither data nor id. */
function take(block) {
  const lines = block.split('\n').map((line) => /^(id|event|data): ?(.*)$/.exec(line))
  const field = (name) => lines.find((line) => line?.[1] === name)?.[2]
  const data = field('data')
  if (data === undefined) return
  const event = JSON.parse(data)
  answer.lastEventId = field('id') ?? answer.lastEventId
  // A stream that begins anew begins with this event: what came before is forgotten.
  if (event.event === 'session_id') Object.assign(answer, { messageId: event.message_id, text: '' })
  if (event.event === 'token') answer.text += event.data
  if (event.event === 'error') console.log('failed:', event.data)
  answer.isOver = event.event === 'end'
}

/** Reads events until the answer is over, or until `isEnough`, where the connection is given up. */
async function read(response, isEnough = () => false) {
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  let rest = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) {
      take(block)
      if (answer.isOver || isEnough()) return
    }
  }
}

const question = 'one two three four five six seven eight nine ten'
const body = JSON.stringify({ chatflow_id: process.env.GATEWAY_CHATFLOW, question })
await read(
  await fetch(`${url}/api/v1/chat/predict/stream`, { method: 'POST', headers, body }),
  () => answer.text !== ''
)
console.log('lost:', answer.text)

// Leaving did not stop the run. `Last-Event-ID` asks for what came since.
const from = { ...headers, 'last-event-id': answer.lastEventId }
await read(await fetch(`${url}/api/v1/chat/streams/${answer.messageId}`, { headers: from }))
console.log('resumed:', answer.text)
