import type { Readable } from 'node:stream'
import type { Agent } from 'undici'
import type { Clock } from '../clock.ts'
import type { Hold } from '../credits/ledger.ts'
import { AppError } from '../errors.ts'
import { within } from '../short-call.ts'
import {
  type Call,
  createCall,
  createOpen,
  type FlowiseAddress,
  isJson,
  type OpenReply,
  type Reply,
  readJson,
  segment,
  timeLimit,
  toAppError
} from './call.ts'
import { isRecord } from './json.ts'
import { encodeForm } from './multipart.ts'
import type { FilePart } from './request.ts'
import type { Encoded } from './uploads.ts'

/** A file that Flowise keeps for one of its chats. */
export interface StoredFile {
  chatflowId: string
  /** Flowise's own. */
  chatId: string
  fileName: string
}

/** What Flowise made of a file: its text, or its bytes in base64. */
export interface AttachedFile {
  name: string
  mimeType: string
  size: number
  content: string
}

export interface Speech {
  chatflowId: string
  chatId: string
  chatMessageId: string
  text: string
}

export interface Upsert {
  chatflowId: string
  /** Flowise's own id of the chat the documents are for; absent: for none. */
  chatId?: string | undefined
  stopNodeId?: string | undefined
  overrideConfig: Record<string, unknown>
  files: readonly FilePart[]
}

/** The rest of what Flowise's own clients say to it. Ids are Flowise's; the texts of its errors go nowhere. */
export interface SurfaceCalls {
  /** Best effort; Flowise's id of the rating, or undefined. */
  rate(chatflowId: string, rating: Record<string, unknown>): Promise<string | undefined>
  /** Best effort. */
  changeRating(ratingId: string, rating: Record<string, unknown>): Promise<boolean>
  /** Best effort. */
  lead(lead: Record<string, unknown>): Promise<boolean>
  /** @throws upstream_error also for files that Flowise refuses, and the other upstream codes */
  attach(
    chat: { chatflowId: string; chatId: string; isBase64: boolean },
    files: readonly FilePart[],
    signal: AbortSignal
  ): Promise<AttachedFile[]>
  /** Undefined for one that is not there. @throws upstream_unavailable, upstream_timeout */
  storedFile(file: StoredFile, signal: AbortSignal): Promise<Readable | undefined>
  /** The same of files that an assistant of OpenAI has made. */
  assistantFile(file: StoredFile, signal: AbortSignal): Promise<Readable | undefined>
  /** Indexes documents; the hold proves that it may cost something. @throws the upstream codes */
  upsert(
    hold: Hold,
    upsert: Upsert,
    limits: { timeoutMs: number; signal: AbortSignal }
  ): Promise<Record<string, unknown>>
  /** Server-sent events. @throws upstream_error unless it is a stream, and the other upstream codes */
  speak(speech: Speech, signal: AbortSignal): Promise<Readable>
  /** Best effort. */
  endSpeech(speech: Omit<Speech, 'text'>): Promise<boolean>
}

export interface SurfaceOptions {
  clock: Clock
  /** For an answer, or for its head where it is a stream. */
  firstByteTimeoutMs: number
  /** For what nobody waits for. */
  shortTimeoutMs: number
  maxAnswerBytes: number
}

/** The calls over this pool of connections. */
export function createSurfaceCalls(agent: Agent, address: FlowiseAddress, options: SurfaceOptions): SurfaceCalls {
  const { clock, firstByteTimeoutMs, shortTimeoutMs, maxAnswerBytes: maxBytes } = options
  const call = createCall(agent, address, clock)
  const open = createOpen(agent, address)

  async function told(method: 'POST' | 'PUT', path: string, body: unknown): Promise<Reply | undefined> {
    try {
      const reply = await call({ method, path, timeoutMs: shortTimeoutMs, maxBytes, body: json(body) })
      return reply.status === 200 && isJson(reply) ? reply : undefined
    } catch (error) {
      if (error instanceof AppError) return undefined
      throw error
    }
  }

  /** The limit is on the head; whoever reads the body has limits of their own. */
  async function opened(request: Omit<Parameters<typeof open>[0], 'signal'>, signal: AbortSignal): Promise<OpenReply> {
    const limit = { ...timeLimit(clock, firstByteTimeoutMs), signal }
    try {
      return await within((ended) => open({ ...request, signal: ended }), limit)
    } catch (error) {
      throw toAppError(error)
    }
  }

  async function file(request: Omit<Parameters<typeof open>[0], 'signal' | 'accept'>, signal: AbortSignal) {
    const reply = await opened({ ...request, accept: '*/*' }, signal)
    // Flowise names no type for a file; what it does not find is a page or JSON, whatever the status.
    if (reply.status === 200 && !isJson(reply) && !/^text\/html\b/i.test(reply.contentType)) return reply.body
    discard(reply.body)
    return undefined
  }

  return {
    async rate(chatflowId, rating) {
      const said = await told('POST', `/feedback/${segment(chatflowId)}`, { chatflowid: chatflowId, ...rating })
      const row = said && parsed(said)
      return isRecord(row) && typeof row.id === 'string' ? row.id : undefined
    },
    changeRating: async (ratingId, rating) =>
      (await told('PUT', `/feedback/${segment(ratingId)}`, rating)) !== undefined,
    lead: async (lead) => (await told('POST', '/leads', lead)) !== undefined,

    async attach({ chatflowId, chatId, isBase64 }, files, signal) {
      const path = `/attachments/${segment(chatflowId)}/${segment(chatId)}`
      const body = encodeForm(isBase64 ? { base64: 'true' } : {}, files)
      const reply = await call({ method: 'POST', path, timeoutMs: firstByteTimeoutMs, maxBytes, body, signal })
      return readAttached(readJson(reply))
    },

    storedFile: (stored, signal) => file({ method: 'GET', path: `/get-upload-file?${query(stored)}` }, signal),
    assistantFile: (stored, signal) =>
      file({ method: 'POST', path: '/openai-assistants-file/download', body: json(stored) }, signal),

    upsert: (_hold, { chatflowId, ...upsert }, { timeoutMs, signal }) =>
      indexed(call, {
        path: `/vector/upsert/${segment(chatflowId)}`,
        body: encodeUpsert(upsert),
        timeoutMs,
        maxBytes,
        signal
      }),

    async speak(speech, signal) {
      const request = { path: '/text-to-speech/generate', accept: 'text/event-stream', body: json(speech) }
      const reply = await opened({ method: 'POST', ...request }, signal)
      if (reply.status === 200 && reply.contentType.toLowerCase().startsWith('text/event-stream')) return reply.body
      discard(reply.body)
      throw new AppError('upstream_error', {}, { cause: new Error(`status ${reply.status}, ${reply.contentType}`) })
    },
    endSpeech: async (speech) => (await told('POST', '/text-to-speech/abort', speech)) !== undefined
  }
}

async function indexed(call: Call, request: Omit<Parameters<Call>[0], 'method'>): Promise<Record<string, unknown>> {
  const said = readJson(await call({ method: 'POST', ...request }))
  if (!isRecord(said)) throw new AppError('upstream_error', {}, { cause: new Error('not an object') })
  return said
}

/** With files the fields themselves are the overrides, as in a prediction. */
function encodeUpsert({ chatId, stopNodeId, overrideConfig, files }: Omit<Upsert, 'chatflowId'>): Encoded {
  const named = { ...(chatId === undefined ? {} : { chatId }), ...(stopNodeId === undefined ? {} : { stopNodeId }) }
  return files.length > 0 ? encodeForm({ ...overrideConfig, ...named }, files) : json({ overrideConfig, ...named })
}

function readAttached(said: unknown): AttachedFile[] {
  const files = Array.isArray(said) ? said.filter(isRecord) : []
  const read = files.flatMap(({ name, mimeType, size, content }) =>
    typeof content === 'string'
      ? [
          {
            name: textOf(name),
            mimeType: textOf(mimeType),
            size: Number.isSafeInteger(size) ? Number(size) : 0,
            content
          }
        ]
      : []
  )
  if (read.length === 0) throw new AppError('upstream_error', {}, { cause: new Error('no file in the answer') })
  return read
}

function json(body: unknown): Encoded {
  const payload = Buffer.from(JSON.stringify(body))
  return { contentType: 'application/json', sizeBytes: payload.length, payload }
}

function parsed(reply: Reply): unknown {
  try {
    return readJson(reply)
  } catch {
    return undefined
  }
}

function query({ chatflowId, chatId, fileName }: StoredFile): string {
  return new URLSearchParams({ chatflowId, chatId, fileName }).toString()
}

/** Nobody reads it: the connection is closed, and its complaint about that is nobody's either. */
function discard(body: Readable): void {
  body.on('error', () => {}).destroy()
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
