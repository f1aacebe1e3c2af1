import { Agent } from 'undici'
import type { Clock } from '../clock.ts'
import { readBytes, within } from '../short-call.ts'

export interface AccountingCall {
  method: 'GET' | 'POST' | 'DELETE'
  /** Encoded, below the base URL. */
  path: string
  /** The whole header. */
  authorization: string
  headers?: Record<string, string>
  body?: Record<string, unknown>
}

export interface AccountingReply {
  status: number
  /** Undefined if it is no JSON. */
  json: unknown
  /** A web page: whoever answered, it was not the service. */
  isHtml: boolean
  /** What the service asks to wait before the next try. */
  retryAfterMs?: number
}

/** No answer. `isSent` is false only if it is certain that the service has not heard the request. */
export class CallFailure extends Error {
  override readonly name = 'CallFailure'
  readonly isSent: boolean
  constructor(isSent: boolean, cause: unknown) {
    super(isSent ? 'the answer was lost' : 'no connection', { cause })
    this.isSent = isSent
  }
}

/** @throws (the function it makes) CallFailure */
export type CallAccounting = (call: AccountingCall) => Promise<AccountingReply>

const SIZE_LIMIT = { maxBytes: 1_048_576, tooLarge: () => new Error('an answer of more than 1 MiB') }
const CONNECTIONS = 256
/** Errors of a connection that never stood. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT'
])

/** Calls to one accounting service, each with a limit on time and size; it never repeats one. */
export function createAccountingCalls({ url, timeoutMs, clock }: { url: string; timeoutMs: number; clock: Clock }) {
  const { origin, pathname } = new URL(url)
  const prefix = pathname.replace(/\/+$/, '')
  const agent = new Agent({
    connections: CONNECTIONS,
    connect: { timeout: Math.min(5000, timeoutMs) },
    // Shorter than any server's: a request on a connection that is being closed has an unknown outcome.
    keepAliveTimeout: 2000,
    keepAliveMaxTimeout: 2000,
    headersTimeout: 0,
    bodyTimeout: 0
  })

  async function call({ method, path, authorization, headers = {}, body }: AccountingCall): Promise<AccountingReply> {
    async function read(signal: AbortSignal): Promise<AccountingReply> {
      const reply = await agent.request({
        origin,
        path: `${prefix}${path}`,
        method,
        headers: {
          accept: 'application/json',
          authorization,
          ...(body && { 'content-type': 'application/json' }),
          ...headers
        },
        body: body ? JSON.stringify(body) : null,
        signal
      })
      const json = parse((await readBytes(reply.body, SIZE_LIMIT)).toString())
      const retryAfterMs = waitOf(reply.headers['retry-after'])
      const isHtml = /^text\/html\b/i.test(String(reply.headers['content-type'] ?? ''))
      return { status: reply.statusCode, json, isHtml, ...(retryAfterMs !== undefined && { retryAfterMs }) }
    }
    try {
      return await within(read, { clock, timeoutMs, tooLate: () => new Error(`no answer within ${timeoutMs} ms`) })
    } catch (error) {
      throw new CallFailure(!isNeverSent(error), error)
    }
  }

  return { call, close: () => agent.destroy() }
}

function isNeverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Several addresses of one name, all of them in vain.
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isNeverSent)
  return 'code' in error && typeof error.code === 'string' && NEVER_SENT.has(error.code)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Seconds only; a date would have to be read on their clock. */
function waitOf(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined
}
