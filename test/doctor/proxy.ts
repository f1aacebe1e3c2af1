import { createServer, type IncomingMessage, request as send, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream'
import { constants, createGzip } from 'node:zlib'
import type { Test } from 'tap'

/** What a proxy does with the answer of the gateway. */
export type Manner = 'passes' | 'buffers' | 'compresses' | 'breaks'

export interface ProxyOptions {
  manner?: Manner
  /** Adds the client's address to X-Forwarded-For, as every proxy should. */
  isForwarding?: boolean
}

/** A reverse proxy in front of the gateway; answers its base URL. */
export async function startProxy(t: Test, upstream: string, options: ProxyOptions = {}): Promise<string> {
  const { manner = 'passes', isForwarding = false } = options
  const server = createServer((request, response) => {
    const headers = { ...request.headers }
    if (isForwarding) headers['x-forwarded-for'] = [headers['x-forwarded-for'] ?? [], '203.0.113.7'].flat().join(', ')
    const outgoing = send(`${upstream}${request.url}`, { method: request.method ?? 'GET', headers }, (incoming) => {
      answer(manner, incoming, response).catch(() => response.destroy())
    })
    outgoing.on('error', () => response.writeHead(502).end())
    response.on('close', () => outgoing.destroy())
    outgoing.end()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
}

async function answer(manner: Manner, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const isStream = incoming.headers['content-type']?.startsWith('text/event-stream') ?? false
  const status = incoming.statusCode ?? 502
  if (isStream && manner === 'buffers') {
    const body = await buffer(incoming)
    const { 'transfer-encoding': _chunked, ...headers } = incoming.headers
    response.writeHead(status, headers).end(body)
    return
  }
  if (isStream && manner === 'compresses') {
    response.writeHead(status, { ...incoming.headers, 'content-encoding': 'gzip' })
    pipeline(incoming, createGzip({ flush: constants.Z_SYNC_FLUSH }), response, () => {})
    return
  }
  response.writeHead(status, incoming.headers)
  if (isStream && manner === 'breaks') incoming.once('data', (chunk) => response.write(chunk, () => response.destroy()))
  else pipeline(incoming, response, () => {})
}
