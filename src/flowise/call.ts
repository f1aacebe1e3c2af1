import { Readable } from 'node:stream'
import { type Agent, errors } from 'undici'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { readBytes, type SizeLimit, type TimeLimit, within } from '../short-call.ts'
import { isTooDeep, parseJson } from './json.ts'
import type { Encoded } from './uploads.ts'

/** Most characters of a failure that are kept. */
const MAX_SAID = 500

/** Where Flowise is and how the gateway identifies itself there. */
export interface FlowiseAddress {
  origin: string
  /** Path before `/api/v1`, without a slash at its end. */
  prefix: string
  apiKey: string | undefined
}

export interface CallOptions {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Path below `/api/v1`, encoded, with its query. */
  path: string
  /** For the whole answer. */
  timeoutMs: number
  maxBytes: number
  body?: Encoded | undefined
  /** Ends the call before its time. */
  signal?: AbortSignal | undefined
}

export interface Reply {
  status: number
  contentType: string
  text: string
}

/** A short request to Flowise, read to its end. */
export type Call = (options: CallOptions) => Promise<Reply>

/** Splits the base URL; a slash at its end does not matter. */
export function readAddress(baseUrl: string, apiKey: string | undefined): FlowiseAddress {
  const { origin, pathname } = new URL(baseUrl)
  return { origin, prefix: pathname.replace(/\/+$/, ''), apiKey }
}

/** The gateway's own key, which locked Flowise installations demand on every path. */
export function authorization({ apiKey }: FlowiseAddress): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
}

/** One segment of a path. @throws chatflow_not_found for a segment that would change the path */
export function segment(id: string): string {
  if (id === '' || id === '.' || id === '..') throw new AppError('chatflow_not_found')
  return encodeURIComponent(id)
}

/**
 * Makes short requests with a limit on time and size.
 * The calls throw upstream_unavailable (no connection), upstream_timeout, upstream_too_large or upstream_error.
 */
export function createCall(agent: Agent, address: FlowiseAddress, clock: Clock): Call {
  const open = createOpen(agent, address)
  return async function call({ method, path, timeoutMs, maxBytes, body, signal }) {
    let hasHead = false
    async function read(ended: AbortSignal): Promise<Reply> {
      const reply = await open({ method, path, accept: 'application/json', body, signal: ended })
      hasHead = true
      const text = (await readBytes(reply.body, sizeLimit(maxBytes))).toString()
      return { status: reply.status, contentType: reply.contentType, text }
    }
    try {
      return await within(read, { ...timeLimit(clock, timeoutMs), signal })
    } catch (error) {
      throw toAppError(error, hasHead ? 'upstream_error' : undefined)
    }
  }
}

/** For an answer of Flowise: upstream_timeout when it is over. */
export function timeLimit(clock: Clock, timeoutMs: number): TimeLimit {
  return { clock, timeoutMs, tooLate: () => new AppError('upstream_timeout') }
}

/** For a body of Flowise: upstream_too_large above it. */
export function sizeLimit(maxBytes: number): SizeLimit {
  return { maxBytes, tooLarge: () => new AppError('upstream_too_large') }
}

export interface OpenOptions extends Pick<CallOptions, 'method' | 'path' | 'body'> {
  accept: string
  /** Ends it, the body too. */
  signal: AbortSignal
}

/** An answer whose body is still coming. */
export interface OpenReply extends Omit<Reply, 'text'> {
  body: Readable
}

/** Makes requests whose answers are read as they come; what fails is whatever undici throws. */
export function createOpen(agent: Agent, address: FlowiseAddress): (options: OpenOptions) => Promise<OpenReply> {
  return async function open({ method, path, accept, body: sent, signal }) {
    const { statusCode, headers, body } = await agent.request({
      origin: address.origin,
      path: `${address.prefix}/api/v1${path}`,
      method,
      headers: {
        accept,
        ...authorization(address),
        ...(sent ? { 'content-type': sent.contentType, 'content-length': String(sent.sizeBytes) } : {})
      },
      body: sent ? payloadOf(sent) : null,
      signal
    })
    return { status: statusCode, contentType: String(headers['content-type'] ?? ''), body }
  }
}

function payloadOf({ payload }: Encoded): Buffer | Readable {
  return Buffer.isBuffer(payload) ? payload : Readable.from(payload, { objectMode: false })
}

/** The body as JSON. @throws upstream_error unless the status is 200 and the body says it is JSON and is */
export function readJson(reply: Reply): unknown {
  // For the log: what an operator has to mend at Flowise is only told here.
  if (reply.status !== 200) {
    const said = new Error(`status ${reply.status}: ${reply.text.slice(0, MAX_SAID)}`)
    throw new AppError('upstream_error', {}, { cause: said })
  }
  if (!isJson(reply)) throw new AppError('upstream_error', {}, { cause: new Error(`not JSON: ${reply.contentType}`) })
  const json = parseJson(reply.text)
  if (json === undefined || isTooDeep(json))
    throw new AppError('upstream_error', {}, { cause: new Error('not usable') })
  return json
}

/** True if the reply calls itself JSON. Flowise answers paths it does not know with its web page and status 200. */
export function isJson({ contentType }: Pick<Reply, 'contentType'>): boolean {
  return /^application\/([\w.-]+\+)?json\b/i.test(contentType)
}

/** The failure as a code: without `broken` the answer had not begun, so it tells a missing Flowise from a confused one. */
export function toAppError(error: unknown, broken?: 'upstream_error' | 'upstream_incomplete'): AppError {
  if (error instanceof AppError) return error
  return new AppError(
    broken ?? (isProtocolError(error) ? 'upstream_error' : 'upstream_unavailable'),
    {},
    { cause: error }
  )
}

function isProtocolError(error: unknown): boolean {
  return error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError
}
