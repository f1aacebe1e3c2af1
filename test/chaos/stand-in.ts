import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { type Plan, planOf, tokensOf } from './question.ts'

// Process that stands in for Flowise: `node stand-in.ts <port>`. It runs what a question says and remembers how often it
// ran each: GET /runs. Like Flowise it goes on when nobody listens any more, and an abort ends only its own chat.

const CHATFLOW = { id: 'c4a05000-0000-4000-8000-000000000001', name: 'Chaos', type: 'CHATFLOW', deployed: true }

const runs = new Map<string, number>()
const aborted = new Set<string>()

createServer((request, response) => {
  request.on('error', () => {})
  response.on('error', () => {})
  answer(request, response).catch(() => response.destroy())
}).listen(Number(process.argv[2]), '127.0.0.1')

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url = '' } = request
  const body = await readJson(request)
  const [, , , noun, , , chatId = ''] = url.split('/')
  if (url === '/runs') return json(response, Object.fromEntries(runs))
  if (method === 'POST' && noun === 'prediction') return predict(body, response)
  if (method === 'PUT' && noun === 'chatmessage') aborted.add(chatId)
  if (noun === 'ping') return void response.end('pong')
  if (noun === 'chatflows') return json(response, [CHATFLOW])
  if (noun === 'chatflows-streaming') return json(response, { isStreaming: true })
  json(response, {})
}

async function predict(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
  const plan = planOf(String(body.question))
  if (!plan) return json(response, { message: 'no plan' }, 400)
  runs.set(plan.id, (runs.get(plan.id) ?? 0) + 1)
  const { chatId } = body
  if (plan.ending === 'fail') return json(response, { statusCode: 500, success: false, message: 'planned' }, 500)
  if (body.streaming === true) return stream(plan, String(chatId), response)
  await wait(plan.tokens * plan.pauseMs)
  if (plan.ending !== 'end') return void response.destroy()
  json(response, { text: tokensOf(plan).join(''), question: body.question, chatId, chatMessageId: plan.id })
}

async function stream(plan: Plan, chatId: string, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const emit = (event: string, data: unknown) => response.write(`message:\ndata:${JSON.stringify({ event, data })}\n\n`)
  emit('start', '')
  const tokens = tokensOf(plan)
  for (const [index, token] of tokens.entries()) {
    await wait(plan.pauseMs)
    if (aborted.delete(chatId)) return void response.end()
    if (plan.ending !== 'end' && index >= tokens.length / 2) break
    emit('token', token)
  }
  if (plan.ending === 'cut') return void response.destroy()
  if (plan.ending === 'error') emit('error', 'planned')
  else emit('metadata', { chatId, chatMessageId: plan.id })
  emit('end', '[DONE]')
  response.end()
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const bytes = Buffer.concat(await request.toArray())
  const parsed: unknown = bytes.length === 0 ? {} : JSON.parse(bytes.toString())
  return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}
