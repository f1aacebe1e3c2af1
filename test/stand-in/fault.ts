import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { isRecord } from '../../src/flowise/json.ts'

/** How a request is to be answered, in data only, so that a question can carry it too. Everything is optional. */
export interface Fault {
  /** The connection is cut before any answer. */
  refuse?: boolean
  /** There is never an answer. */
  hang?: boolean
  status?: number
  headers?: Record<string, string>
  /** A whole body, instead of the events or the JSON answer. */
  body?: string
  /** JSON answer: members that replace or add to the usual ones. */
  answer?: Record<string, unknown>
  /** The stream's events before its end. Default: start, three tokens, metadata. */
  events?: readonly (readonly [event: string, data: unknown])[]
  /** Default once. `cut` breaks the connection instead, `close` ends it without the event, `open` never ends it. */
  end?: 'once' | 'none' | 'twice' | 'cut' | 'close' | 'open'
  framing?: keyof typeof FRAMINGS
  /** Heartbeats before each event. */
  heartbeats?: number
  /** Writes pieces of this many bytes; 1 splits every character. */
  pieceBytes?: number
  /** Breaks the connection after this many bytes of the body. */
  cutAtByte?: number
  /** Names of gates to wait at: before the head, before the body, before the event of a number, before the end. */
  gates?: Partial<Record<'head' | 'body' | 'end' | number, string>>
}

export interface Ask {
  streaming: boolean
  question: string
  chatId: string
  sessionId: string
}

const FRAMINGS = {
  flowise: (_event: string, json: string) => `message:\ndata:${json}\n\n`,
  old: (_event: string, json: string) => `message\ndata:${json}\n\n`,
  spaced: (_event: string, json: string) => `message:\ndata: ${json}\n\n`,
  crlf: (_event: string, json: string) => `message:\r\ndata:${json}\r\n\r\n`,
  cr: (_event: string, json: string) => `message:\rdata:${json}\r\r`,
  named: (event: string, json: string) => `event: ${event}\ndata: ${json}\n\n`
} as const

/** Answers that Flowise, or what stands before it, is known to give. */
export const FAULTS = {
  hang: { hang: true },
  refused: { refuse: true },
  html: { headers: { 'content-type': 'text/html; charset=utf-8' }, body: '<!doctype html><title>Flowise</title>' },
  plainText: { headers: { 'content-type': 'text/plain' }, body: 'hello' },
  unauthorized: { status: 401, body: '{"error":"Unauthorized Access"}' },
  failure: {
    status: 500,
    body: '{"statusCode":500,"success":false,"message":"Error: predictionsServices.buildChatflow - key sk-1 at http://10.0.0.1","stack":{}}'
  },
  rateLimited: { status: 429, headers: { 'content-type': 'text/html', 'retry-after': '7' }, body: 'slow down' },
  errorFirst: { events: [['error', 'Error: predictionsServices.buildChatflow - Unauthorized sk-1']] },
  errorLater: {
    events: [
      ['start', ''],
      ['token', 'Hel'],
      ['error', 'Error: predictionsServices.buildChatflow - terminated']
    ]
  },
  metadataOnly: { events: [['metadata', { chatMessageId: 'stored-1' }]] },
  empty: { events: [] },
  onlyHeartbeats: { events: [], heartbeats: 3, end: 'open' }
} as const satisfies Record<string, Fault>

/** The fault that a question describes: JSON like `{"fault":{"status":500}}` or `{"fault":"hang"}`; undefined if it does not. */
export function faultIn(question: string): Fault | undefined {
  if (!question.startsWith('{"fault":')) return undefined
  const parsed: unknown = JSON.parse(question)
  const fault = isRecord(parsed) ? parsed.fault : undefined
  if (typeof fault === 'string') return Object.entries<Fault>(FAULTS).find(([name]) => name === fault)?.[1]
  return isRecord(fault) ? fault : undefined
}

/** Gives the answer. `pass` waits at a gate, `sent` is told how many bytes have left. */
export async function play(
  fault: Fault,
  ask: Ask,
  response: ServerResponse,
  { pass, sent }: { pass: (gate: string | undefined) => Promise<void>; sent: (bytes: number) => void }
): Promise<void> {
  const { gates = {} } = fault
  if (fault.hang) return
  await pass(gates.head)
  if (fault.refuse) return void response.socket?.destroy()
  const isStream = fault.body === undefined && fault.answer === undefined && ask.streaming
  const contentType = isStream ? 'text/event-stream' : 'application/json; charset=utf-8'
  response.writeHead(fault.status ?? 200, { 'content-type': contentType, ...fault.headers }).flushHeaders()
  await pass(gates.body)
  const writer = createPieceWriter(fault, response, sent)
  if (!isStream) {
    await writer(fault.body ?? JSON.stringify(answerTo(ask, fault.answer)))
    await pass(gates.end)
    if (fault.end === 'cut') await cut(response)
    else if (fault.end !== 'open') response.end()
    return
  }
  await playStream(fault, ask, response, writer, pass)
}

async function playStream(
  fault: Fault,
  ask: Ask,
  response: ServerResponse,
  writer: (text: string) => Promise<void>,
  pass: (gate: string | undefined) => Promise<void>
): Promise<void> {
  const { gates = {}, end = 'once', framing = 'flowise', heartbeats = 0 } = fault
  const frame = (event: string, data: unknown): Promise<void> =>
    writer(FRAMINGS[framing](event, JSON.stringify({ event, data })))
  if (heartbeats > 0) await writer(':heartbeat\n\n'.repeat(heartbeats))
  for (const [index, [event, data]] of (fault.events ?? eventsFor(ask)).entries()) {
    await pass(gates[index])
    await frame(event, data)
    if (heartbeats > 0) await writer(':heartbeat\n\n'.repeat(heartbeats))
  }
  await pass(gates.end)
  if (end === 'once' || end === 'twice') await frame('end', '[DONE]')
  if (end === 'twice') await frame('end', '[DONE]')
  if (end === 'cut') await cut(response)
  else if (end !== 'open') response.end()
}

/** Writes at the reader's pace, in pieces, up to the cut. */
function createPieceWriter(
  fault: Fault,
  response: ServerResponse,
  sent: (bytes: number) => void
): (text: string) => Promise<void> {
  const { pieceBytes = Number.POSITIVE_INFINITY, cutAtByte = Number.POSITIVE_INFINITY } = fault
  let total = 0
  return async function write(text) {
    const bytes = Buffer.from(text).subarray(0, Math.max(0, cutAtByte - total))
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      if (response.destroyed) return
      const piece = bytes.subarray(at, at + pieceBytes)
      total += piece.length
      sent(piece.length)
      if (!response.write(piece)) await drained(response)
      // One piece per turn, so that they leave as separate packets.
      else if (pieceBytes !== Number.POSITIVE_INFINITY) await new Promise((resolve) => void setImmediate(resolve))
    }
    if (total >= cutAtByte) await cut(response)
  }
}

/** The reader has caught up, or is gone. */
async function drained(response: ServerResponse): Promise<void> {
  const decided = new AbortController()
  const { signal } = decided
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
  decided.abort()
}

/** Breaks the connection once all that was written has left: a write waits for the end of its turn. */
async function cut(response: ServerResponse): Promise<void> {
  await new Promise((resolve) => void setImmediate(resolve))
  response.socket?.destroySoon()
}

function eventsFor({ question, chatId, sessionId }: Ask): readonly (readonly [string, unknown])[] {
  return [
    ['start', ''],
    ['token', 'Hello '],
    ['token', 'from '],
    ['token', 'Flowise 🙂'],
    ['metadata', { chatId, chatMessageId: 'stored-1', question, sessionId, memoryType: 'Buffer Memory' }]
  ]
}

function answerTo(
  { question, chatId, sessionId }: Ask,
  members: Record<string, unknown> = {}
): Record<string, unknown> {
  return {
    text: 'Hello from Flowise 🙂',
    question,
    chatId,
    chatMessageId: 'stored-1',
    sessionId,
    memoryType: 'Buffer Memory',
    ...members
  }
}
