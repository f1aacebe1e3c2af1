import { Agent } from 'undici'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { readBytes, within } from '../short-call.ts'

export interface HttpRequest {
  method: 'GET' | 'POST'
  url: string
  bearer?: string
  /** Sent as JSON. */
  body?: Record<string, unknown>
  /** For the whole answer. */
  timeoutMs: number
  maxBytes: number
}

export interface HttpReply {
  status: number
  /** The header of this name in lower case; the first when there are several. */
  header(name: string): string | undefined
  text: string
}

export interface HttpCaller {
  /** @throws auth_unavailable when there is no whole answer within the limits, with the reason as its cause */
  call(request: HttpRequest): Promise<HttpReply>
  close(): Promise<void>
}

const CONNECT_MS = 5_000
/** What is asked for at once goes over so many connections; the rest waits, and its time runs. */
const MAX_CONNECTIONS = 32

/** Short calls to services that know users and keys, with limits on time and size. Redirects are not followed. */
export function createHttpCaller(clock: Clock): HttpCaller {
  const agent = new Agent({
    connections: MAX_CONNECTIONS,
    connect: { timeout: CONNECT_MS },
    // Shorter than a server's own limit: a connection that it closes at that moment would fail a login.
    keepAliveTimeout: 3_500,
    keepAliveMaxTimeout: 3_500,
    headersTimeout: 0,
    bodyTimeout: 0
  })
  return {
    async call({ method, url, bearer, body, timeoutMs, maxBytes }) {
      const { origin, pathname, search } = new URL(url)
      const tooLate = () => new Error(`no answer within ${timeoutMs} ms`)
      const tooLarge = () => new Error(`the answer is larger than ${maxBytes} bytes`)
      async function read(signal: AbortSignal): Promise<HttpReply> {
        const reply = await agent.request({
          origin,
          path: pathname + search,
          method,
          headers: {
            accept: 'application/json',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` })
          },
          body: body === undefined ? null : JSON.stringify(body),
          signal
        })
        const { statusCode: status, headers } = reply
        const header = (name: string) => [headers[name]].flat()[0]
        return { status, header, text: (await readBytes(reply.body, { maxBytes, tooLarge })).toString() }
      }
      try {
        return await within(read, { clock, timeoutMs, tooLate })
      } catch (error) {
        throw unavailable(error)
      }
    },
    close: () => agent.destroy()
  }
}

/** A service that is down, or answers what cannot be used; the cause is for the log. */
export function unavailable(cause: unknown): AppError {
  return new AppError('auth_unavailable', {}, { cause })
}

/** The members of a JSON object; undefined for everything else. */
export function membersOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isMembers(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** True for an object that is no list. */
export function isMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
