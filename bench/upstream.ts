import { createServer, type Socket } from 'node:net'
import { flows } from './flows.ts'

/** The text of an answer: about what a language model says in a paragraph. */
const TEXT = 'A gateway holds the price of an answer before it asks for it. '.repeat(10)
const HEAD = 'HTTP/1.1 200 OK\r\nVary: Origin\r\nX-Frame-Options: SAMEORIGIN\r\nConnection: keep-alive\r\n'
const PREDICTION = 'POST /api/v1/prediction/'

const answer = json({
  text: TEXT,
  question: 'What does it hold?',
  chatId: 'b6a3b1ec-27a2-4f0f-9f55-0d4e3a0d3b5a',
  chatMessageId: '88f897df-4bd4-4a54-96fc-8a537a744b4a',
  isStreamValid: false,
  sessionId: 'b6a3b1ec-27a2-4f0f-9f55-0d4e3a0d3b5a',
  memoryType: 'Buffer Memory'
})
const completion = json({
  id: 'chatcmpl-88f897df',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: flows.answer.id,
  choices: [{ index: 0, message: { role: 'assistant', content: TEXT }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 20, completion_tokens: 150, total_tokens: 170 }
})
const catalogue = json(Object.values(flows).map(({ id }) => ({ id, name: id, type: 'CHATFLOW', deployed: true })))
const streaming = json({ isStreaming: true })
const nothing = json({})

const opening = Buffer.concat([
  Buffer.from(
    `${HEAD}Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n`
  ),
  frame('start', '')
])
const token = frame('token', 'gateway ')
const closing = Buffer.concat([
  frame('metadata', { chatId: 'b6a3b1ec', chatMessageId: '88f897df', question: 'What?', sessionId: 'b6a3b1ec' }),
  frame('end', '[DONE]'),
  Buffer.from('0\r\n\r\n')
])

const byId = new Map<string, { tokens: number; gapMs: number }>(Object.values(flows).map((flow) => [flow.id, flow]))

createServer({ noDelay: true }, answerAll).listen(Number(process.argv[2]), '127.0.0.1')

/** Just enough HTTP/1.1 for the clients of the benchmark: a full parser would be the bottleneck of the whole bench. */
function answerAll(socket: Socket): void {
  let received = Buffer.alloc(0)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer<ArrayBuffer>) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    for (;;) {
      const headEnd = received.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      const head = received.toString('latin1', 0, headEnd)
      const size = sizeOf(head, headEnd + 4, received)
      if (size === undefined || received.length < size) return
      respond(socket, head, received.subarray(headEnd + 4, size))
      received = received.subarray(size)
    }
  })
}

/** Length of the whole request; undefined until it can be known. */
function sizeOf(head: string, bodyAt: number, received: Buffer): number | undefined {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return bodyAt + Number(length)
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return bodyAt
  const last = received.indexOf('0\r\n\r\n', bodyAt)
  return last < 0 ? undefined : last + 5
}

function respond(socket: Socket, head: string, body: Buffer): void {
  if (head.startsWith(PREDICTION)) {
    const id = head.slice(PREDICTION.length, head.indexOf(' ', PREDICTION.length))
    const flow = byId.get(id)
    if (flow && body.includes('"streaming":true')) stream(socket, flow)
    else socket.write(answer)
  } else if (head.startsWith('POST /v1/chat/completions')) socket.write(completion)
  else if (head.startsWith('GET /api/v1/chatflows-streaming/')) socket.write(streaming)
  else if (head.startsWith('GET /api/v1/chatflows')) socket.write(catalogue)
  else socket.write(nothing)
}

function stream(socket: Socket, { tokens, gapMs }: { tokens: number; gapMs: number }): void {
  let left = tokens - 1
  socket.cork()
  socket.write(opening)
  socket.write(token)
  socket.uncork()
  const timer = setInterval(() => {
    if (left > 0) socket.write(token)
    else finish()
    left -= 1
  }, gapMs)
  const leave = (): void => clearInterval(timer)
  socket.once('close', leave)

  function finish(): void {
    clearInterval(timer)
    socket.off('close', leave)
    socket.write(closing)
  }
}

function json(value: unknown): Buffer {
  const body = JSON.stringify(value)
  return Buffer.from(
    `${HEAD}Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

/** One event in Flowise's framing, as one HTTP chunk. */
function frame(event: string, data: unknown): Buffer {
  const bytes = Buffer.from(`message:\ndata:${JSON.stringify({ event, data })}\n\n`)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}
