import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Clock, createSystemClock } from '../clock.ts'
import { createIds, type Ids } from '../ids.ts'
import { DEMO_FLOWS, DEMO_NODES, DEMO_UPLOADS, demoConfig, demoRow } from './demo-flows.ts'
import { createDemoMemory } from './demo-memory.ts'
import { createDemoRuns, problem, sendJson } from './demo-run.ts'
import { isRecord, parseJson } from './json.ts'

const MAX_BODY_BYTES = 64 * 1_048_576
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const WEB_PAGE = '<!doctype html><html lang="en"><head><title>Flowise</title></head><body></body></html>'

export interface DemoOptions {
  clock?: Clock
  ids?: Ids
  log?: (message: string) => void
  /** 1 (default) is the pace of a model, 0 does not wait at all. */
  pace?: number
}

export interface DemoFlowise {
  url: string
  close(): Promise<void>
}

/** The demo without its server: answers requests whose body has been read. */
export interface DemoHandler {
  handle(request: Pick<IncomingMessage, 'method' | 'url'>, body: Buffer, response: ServerResponse): void
  close(): void
}

/**
 * A stand-in for Flowise on a free port of 127.0.0.1, for trying the gateway out and for tests.
 * It speaks Flowise's protocol, weaknesses included, and calls no model.
 */
export async function startDemoFlowise(options: DemoOptions = {}): Promise<DemoFlowise> {
  const handler = createDemoHandler(options)
  const server = createServer((request, response) => {
    readBody(request)
      .then((body) => handler.handle(request, body, response))
      .catch(() => response.destroy())
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(0, '127.0.0.1', resolve)
  await promise
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  options.log?.(`demo Flowise listens on ${url}`)
  return {
    url,
    async close() {
      handler.close()
      const closed = new Promise<void>((done) => void server.close(() => done()))
      server.closeAllConnections()
      await closed
    }
  }
}

/** The demo's answers, for a server of one's own. */
export function createDemoHandler({
  clock = createSystemClock(),
  ids = createIds(),
  pace = 1
}: DemoOptions): DemoHandler {
  const memory = createDemoMemory(clock, ids)
  const runs = createDemoRuns({ clock, ids, memory, pace })

  return {
    handle({ method = 'GET', url = '/' }, body, response) {
      const { pathname, searchParams } = new URL(url, 'http://demo')
      const [api, version, noun = '', ...rest] = pathname.split('/').slice(1).map(decodeURIComponent)
      const [id = '', second = '', third = ''] = rest
      const route = api === 'api' && version === 'v1' ? `${method} ${noun}` : ''
      if (route === 'GET ping') sendText(response, 'pong')
      else if (route === 'GET version') sendJson(response, 200, { version: '3.1.4' })
      else if (route === 'GET chatflows') sendJson(response, 200, DEMO_FLOWS.map(demoRow))
      else if (route === 'GET chatflows-streaming') sendEligibility(response, id)
      else if (route === 'GET chatflows-uploads') sendUploads(response, id)
      else if (route === 'GET public-chatbotConfig') sendConfig(response, id)
      else if (route === 'GET node-icon') sendIcon(response, id)
      else if (route === 'POST prediction') predict(response, id, body)
      else if (route === 'PUT chatmessage' && id === 'abort') {
        runs.abort(second, third)
        sendJson(response, 200, { status: 200, message: 'Chat message aborted' })
      } else if (route === 'GET chatmessage') sendJson(response, 200, memory.list(id, searchParams))
      else if (route === 'DELETE chatmessage')
        sendJson(response, 200, { raw: [], affected: memory.remove(id, searchParams) })
      else if (method === 'GET') sendText(response, WEB_PAGE)
      else sendJson(response, 404, problem(404, 'Not Found'))
    },
    close: () => runs.close()
  }

  function predict(response: ServerResponse, id: string, bytes: Buffer): void {
    const body = parseJson(bytes.toString())
    if (!isRecord(body)) return sendJson(response, 400, problem(400, 'Unexpected token in JSON'))
    const flow = DEMO_FLOWS.find((candidate) => candidate.id === id)
    if (flow) {
      runs.predict(flow, body, response).catch(() => response.destroy())
      return
    }
    // Whoever asked for a stream is never told: no status, no headers, nothing.
    if (body.streaming) return
    if (UUID.test(id)) sendJson(response, 404, problem(404, `Chatflow ${id} not found in the database!`))
    else sendJson(response, 400, problem(400, 'Invalid Chatflow ID'))
  }
}

function sendEligibility(response: ServerResponse, id: string): void {
  const flow = DEMO_FLOWS.find((candidate) => candidate.id === id)
  if (flow) return sendJson(response, 200, { isStreaming: flow.isStreamable })
  const message = `Error: chatflowsService.checkIfChatflowIsValidForStreaming - Chatflow ${id} not found`
  sendJson(response, 500, problem(500, message))
}

function sendConfig(response: ServerResponse, id: string): void {
  const flow = DEMO_FLOWS.find((candidate) => candidate.id === id)
  const message = `Error: chatflowsService.getSinglePublicChatbotConfig - Chatflow ${id} not found`
  if (!flow) return sendJson(response, 500, problem(500, message))
  sendJson(response, 200, {
    ...demoConfig(flow),
    uploads: DEMO_UPLOADS,
    flowData: demoRow(flow).flowData,
    isTTSEnabled: false
  })
}

function sendUploads(response: ServerResponse, id: string): void {
  const message = `Error: chatflowsService.checkIfChatflowIsValidForUploads - Chatflow ${id} not found`
  if (DEMO_FLOWS.some((candidate) => candidate.id === id)) sendJson(response, 200, DEMO_UPLOADS)
  else sendJson(response, 500, problem(500, message))
}

function sendIcon(response: ServerResponse, name: string): void {
  if (!DEMO_NODES.includes(name))
    return sendJson(response, 500, problem(500, `Error: nodesService.getSingleNodeIcon - Node ${name} not found`))
  response
    .writeHead(200, { 'Content-Type': 'image/svg+xml', 'Cache-Control': 'public, max-age=0' })
    .end(
      '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="12" fill="#64748b"/></svg>'
    )
}

function sendText(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(body)
}

/** The whole body. @throws Error above 64 MiB */
export async function readBody(request: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new Error('the body is too large for the demo')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
