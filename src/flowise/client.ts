import { Agent } from 'undici'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { type Call, createCall, isJson, type Reply, readAddress, readJson, segment } from './call.ts'
import { createConnect } from './connect.ts'
import { createEligibility, type Eligibility } from './eligibility.ts'
import { createIcons, type Icon } from './icons.ts'
import { isRecord, parseJson } from './json.ts'
import { readListing } from './listing.ts'
import { createPredict, type Predict } from './predict.ts'
import { createRemembered } from './remembered.ts'
import { createSurfaceCalls, type SurfaceCalls } from './surface-calls.ts'

export type { PredictOptions, UpstreamCall, UpstreamHandler } from './predict.ts'
export type { PredictionBody } from './prediction.ts'

const MIB = 1_048_576
/** A run has long begun after the first, except where Flowise is busy. */
const STOPPED_AGAIN_MS = [1000, 5000]

export interface FlowiseClientOptions {
  /** With or without a path before `/api/v1`. */
  baseUrl: string
  apiKey?: string | undefined
  clock: Clock
  /** Longest wait for a look-up; housekeeping calls use less. */
  firstByteTimeoutMs: number
  connectTimeoutMs?: number
  /** Connections at once; one prediction takes one. */
  maxConnections?: number
  /** Longest time for abort, forget and ping. */
  shortTimeoutMs?: number
  /** Largest listing, all pages together. */
  maxListingBytes?: number
  /** Largest answer to anything else but a prediction. */
  maxAnswerBytes?: number
}

/** All that the gateway says to Flowise. Nothing of an answer's error text is in the errors' details. */
export interface FlowiseClient extends SurfaceCalls {
  /** @throws upstream_unavailable, upstream_timeout or upstream_error unless Flowise says it is there */
  ping(): Promise<void>
  /** Remembered for at most a minute; undefined if it does not say. */
  version(): Promise<string | undefined>
  /** @throws upstream_error whatever went wrong, on any page; never a part of the list */
  listChatflows(): Promise<unknown[]>
  /** Remembered for at most a minute. @throws upstream_unavailable, upstream_timeout */
  isStreaming(chatflowId: string): Promise<Eligibility>
  /** The public configuration; empty when there is none. @throws chatflow_not_found and the upstream codes */
  chatbotConfig(chatflowId: string): Promise<Record<string, unknown>>
  /** Remembered for at most a minute; undefined for a name without a picture. @throws the upstream codes */
  nodeIcon(name: string): Promise<Icon | undefined>
  /** The stored text of an answer; undefined if there is none or it cannot be read. */
  messageText(chatflowId: string, messageId: string): Promise<string | undefined>
  /**
   * Asks to stop a run; best effort. True if Flowise answered, which proves nothing: what it has not begun yet it goes on
   * to begin. Where no event has shown that it has begun, it is therefore asked again.
   */
  abort(chatflowId: string, chatId: string, hasBegun?: boolean): Promise<boolean>
  /** Asks to delete a conversation; best effort. True if Flowise says it did. */
  forget(chatflowId: string, ids: { chatId: string; sessionId: string }): Promise<boolean>
  predict: Predict
  /** Closes every connection, those of running predictions too. */
  close(): Promise<void>
}

/** A client with one pool of connections. */
export function createFlowiseClient(options: FlowiseClientOptions): FlowiseClient {
  const { clock, firstByteTimeoutMs, connectTimeoutMs = 5000, maxConnections = 4096 } = options
  const { shortTimeoutMs = 3000, maxListingBytes = 64 * MIB, maxAnswerBytes = 20 * MIB } = options
  const address = readAddress(options.baseUrl, options.apiKey)
  const agent = new Agent({
    connections: maxConnections,
    connect: createConnect(connectTimeoutMs),
    // Flowise closes idle connections after 5 s, without notice: ours must be older news to us than to it.
    keepAliveTimeout: 3500,
    keepAliveMaxTimeout: 3500,
    headersTimeout: 0,
    bodyTimeout: 0
  })
  const call = createCall(agent, address, clock)
  const get = (path: string, maxBytes = maxAnswerBytes): Promise<Reply> =>
    call({ method: 'GET', path, timeoutMs: firstByteTimeoutMs, maxBytes })
  const tell = (method: 'PUT' | 'DELETE', path: () => string): Promise<boolean> =>
    attempt(call, { method, path, timeoutMs: shortTimeoutMs, maxBytes: maxAnswerBytes })

  const version = createRemembered({
    clock,
    ttlMs: 60_000,
    maxEntries: 1,
    async lookup() {
      const said = readJson(await get('/version'))
      return isRecord(said) && typeof said.version === 'string' ? said.version : undefined
    }
  })

  return {
    async ping() {
      const reply = await call({ method: 'GET', path: '/ping', timeoutMs: shortTimeoutMs, maxBytes: maxAnswerBytes })
      if (reply.status !== 200 || reply.text.trimStart().startsWith('<')) throw unexpected(reply)
    },
    version: () => version(''),
    listChatflows: () => listChatflows(get, maxListingBytes),
    isStreaming: createEligibility({ clock, ttlMs: 60_000, maxEntries: 1000, lookup: (id) => askEligibility(get, id) }),
    async chatbotConfig(chatflowId) {
      return toConfig(await get(`/public-chatbotConfig/${segment(chatflowId)}`))
    },
    nodeIcon: createIcons(agent, address, { clock, timeoutMs: firstByteTimeoutMs }),
    messageText: (chatflowId, messageId) => findMessageText(get, chatflowId, messageId),
    abort(chatflowId, chatId, hasBegun = true) {
      const stop = () => tell('PUT', () => `/chatmessage/abort/${segment(chatflowId)}/${segment(chatId)}`)
      if (!hasBegun) for (const delayMs of STOPPED_AGAIN_MS) clock.after(delayMs, () => void stop())
      return stop()
    },
    forget: (chatflowId, { chatId, sessionId }) =>
      tell('DELETE', () => `/chatmessage/${segment(chatflowId)}?${query({ chatId, sessionId })}`),
    predict: createPredict(agent, address),
    ...createSurfaceCalls(agent, address, { clock, firstByteTimeoutMs, shortTimeoutMs, maxAnswerBytes }),
    close: () => agent.destroy()
  }
}

type Get = (path: string, maxBytes?: number) => Promise<Reply>

async function listChatflows(get: Get, maxBytes: number): Promise<unknown[]> {
  let left = maxBytes
  try {
    return await readListing(async (page) => {
      const reply = await get(page ? `/chatflows?page=${page.page}&limit=${page.limit}` : '/chatflows', left)
      left -= Buffer.byteLength(reply.text)
      return readJson(reply)
    })
  } catch (cause) {
    throw new AppError('upstream_error', {}, { cause })
  }
}

async function askEligibility(get: Get, chatflowId: string): Promise<Eligibility> {
  try {
    const reply = await get(`/chatflows-streaming/${segment(chatflowId)}`)
    if (isUnknownChatflow(reply)) return 'not_found'
    const said = readJson(reply)
    if (!isRecord(said) || typeof said.isStreaming !== 'boolean') return 'unknown'
    return said.isStreaming ? 'yes' : 'no'
  } catch (error) {
    if (error instanceof AppError && error.kind === 'missing') return 'not_found'
    if (error instanceof AppError && error.kind === 'upstream') return 'unknown'
    throw error
  }
}

function toConfig(reply: Reply): Record<string, unknown> {
  if (isUnknownChatflow(reply)) throw new AppError('chatflow_not_found')
  // The word OK, in whatever content type, is how Flowise says that nothing is configured.
  if (reply.status === 200 && reply.text.trim() === 'OK') return {}
  const config = readJson(reply)
  return isRecord(config) ? config : {}
}

async function findMessageText(get: Get, chatflowId: string, messageId: string): Promise<string | undefined> {
  try {
    const rows = readJson(await get(`/chatmessage/${segment(chatflowId)}?${query({ messageId })}`))
    const row = Array.isArray(rows) ? rows.filter(isRecord).find(({ id }) => id === messageId) : undefined
    return row?.role !== 'userMessage' && typeof row?.content === 'string' ? row.content : undefined
  } catch (error) {
    // The answer is lost either way; the caller reports it as empty.
    if (error instanceof AppError) return undefined
    throw error
  }
}

/** Flowise reports an unknown chatflow with status 500 on some paths: the message decides. */
function isUnknownChatflow(reply: Reply): boolean {
  if (reply.status < 400 || !isJson(reply)) return false
  const said = parseJson(reply.text)
  const message = isRecord(said) ? (said.message ?? said.error) : undefined
  return typeof message === 'string' && /chatflow\b.*\bnot found/is.test(message)
}

async function attempt(
  call: Call,
  { path, ...options }: { method: 'PUT' | 'DELETE'; path: () => string; timeoutMs: number; maxBytes: number }
): Promise<boolean> {
  try {
    const reply = await call({ ...options, path: path() })
    return reply.status === 200
  } catch (error) {
    if (error instanceof AppError) return false
    throw error
  }
}

function query(members: Record<string, string>): string {
  return new URLSearchParams(members).toString()
}

function unexpected(reply: Reply): AppError {
  return new AppError('upstream_error', {}, { cause: new Error(`status ${reply.status}, ${reply.contentType}`) })
}
