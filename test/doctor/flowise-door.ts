import { createServer } from 'node:http'
import type { Test } from 'tap'

/** What Flowise 3.1.4 answers without a key, as far as the doctor asks for it. */
const PUBLIC = [
  ['/api/v1/verify/apikey/', 401, '{"statusCode":401,"success":false,"message":"Unauthorized","stack":{}}'],
  ['/api/v1/chatflows/apikey/', 401, 'Unauthorized'],
  ['/api/v1/public-chatflows', 404, '{"message":"not found"}'],
  ['/api/v1/public-chatbotConfig', 500, '{"message":"not found"}'],
  ['/api/v1/public-executions', 404, '{"message":"not found"}'],
  ['/api/v1/prediction/', 200, '<!DOCTYPE html>'],
  ['/api/v1/webhook/', 404, '{"message":"not found"}'],
  ['/api/v1/chatmessage/abort', 200, '<!DOCTYPE html>'],
  ['/api/v1/chatflows-streaming', 500, '{"message":"not found"}'],
  ['/api/v1/chatflows-uploads', 500, '{"message":"not found"}'],
  ['/api/v1/openai-assistants-file/download', 200, '<!DOCTYPE html>'],
  ['/api/v1/feedback', 200, '[]'],
  ['/api/v1/leads', 404, '{"message":"workspace undefined not found!"}'],
  ['/api/v1/get-upload-file', 500, 'Invalid file path'],
  ['/api/v1/ping', 200, 'pong'],
  ['/api/v1/version', 200, '{"version":"3.1.4"}'],
  ['/api/v1/attachments', 200, '<!DOCTYPE html>'],
  ['/api/v1/mcp/', 200, '<!DOCTYPE html>'],
  ['/api/v1/text-to-speech/generate', 200, '<!DOCTYPE html>'],
  ['/api/v1/text-to-speech/abort', 200, '<!DOCTYPE html>']
] as const

export interface DoorOptions {
  /** The variable of Flowise's environment, name included. */
  denylist?: string
  /** The only key it knows. */
  apiKey?: string
  version?: string
}

export interface Door {
  url: string
  /** `GET /path`, in the order of arrival. */
  requests: string[]
}

/** Flowise's way to let requests in or not, with DENYLIST_URLS read as Flowise reads it; behind the door is little. */
export async function startFlowiseDoor(t: Test, options: DoorOptions = {}): Promise<Door> {
  const { denylist = '', apiKey = 'door-key', version = '3.1.4' } = options
  const denied = denylist.replace(/^DENYLIST_URLS=/, '').split(',')
  const whitelist = PUBLIC.filter(([entry]) => !denied.includes(entry))
  const requests: string[] = []
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://flowise')
    requests.push(`${request.method} ${pathname}`)
    const [, status, body] = whitelist.find(([entry]) => pathname.startsWith(entry)) ?? []
    if (status !== undefined && body !== undefined) {
      response.writeHead(status, { 'content-type': body.startsWith('{') ? 'application/json' : 'text/html' })
      response.end(body.replace('3.1.4', version))
      return
    }
    const isKnown = request.headers.authorization === `Bearer ${apiKey}`
    response.writeHead(isKnown ? 200 : 401, { 'content-type': 'application/json; charset=utf-8' })
    response.end(isKnown ? '{"data":[],"total":0}' : '{"error":"Unauthorized Access"}')
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`, requests }
}
