import { readFollowUpPrompts } from './answer.ts'
import type { Frame } from './frame.ts'
import { isRecord } from './json.ts'
import { filterResult, HIDDEN_FIELDS } from './redaction.ts'
import { reduceField } from './reduce.ts'
import { type TokenUsage, usageOf, usageOfExecution } from './usage.ts'

const TEXT_FIELDS: readonly string[] = ['text', 'question', 'token', 'start', 'thinking', 'metadata', 'end', 'error']
const TOOL_EVENTS: readonly string[] = ['artifacts', 'usedTools', 'calledTools', 'tool', 'agent_trace']

export interface TranscriptOptions {
  /** Names of the non-text fields to keep. */
  allowed: readonly string[]
  /** Default 1 MiB. */
  maxTextBytes?: number
  /** Default 256 KiB, for all fields together. */
  maxDataBytes?: number
}

/** What a run has delivered so far, as history and billing need it. */
export interface Transcript {
  add(frame: Frame): void
  readonly text: string
  /** Allowed fields by name; undefined if there are none or they are too large together. */
  readonly data: Record<string, unknown> | undefined
  /** True once a token with text, an artifact or a tool event was seen. */
  readonly hasOutput: boolean
  /** Tokens as the flow reported them; undefined if it reported none. */
  readonly usage: TokenUsage | undefined
  /** Flowise's own metadata, with its internal ids. */
  readonly metadata: Record<string, unknown> | undefined
  readonly chatMessageId: string | undefined
  readonly followUpPrompts: string | undefined
  readonly isTruncated: boolean
  readonly isDataOmitted: boolean
}

/** True if the event is something a customer pays for: a token with text, an artifact, a tool that was used. */
export function isOutput({ event, data }: Frame): boolean {
  if (event === 'token') return typeof data === 'string' && data !== ''
  if (!TOOL_EVENTS.includes(event)) return false
  return Array.isArray(data) ? data.length > 0 : Boolean(data)
}

/** Collects the events of one run. The text is that of the tokens: what `start` carries, Flowise repeats as a token. */
export function createTranscript(options: TranscriptOptions): Transcript {
  const { allowed, maxTextBytes = 1_048_576, maxDataBytes = 262_144 } = options
  const fields = new Map<string, { value: unknown; bytes: number }>()
  let text = ''
  let textBytes = 0
  let isTruncated = false
  let hasOutput = false
  let reported: TokenUsage | undefined
  let executed: TokenUsage | undefined
  let metadata: Record<string, unknown> | undefined

  return {
    add(frame) {
      hasOutput ||= isOutput(frame)
      if (frame.event === 'token') return addText(frame.data)
      if (frame.event === 'usageMetadata') reported = usageOf(frame.data) ?? reported
      if (frame.event === 'agentFlowExecutedData') executed = usageOfExecution(frame.data) ?? executed
      if (frame.event === 'metadata' && isRecord(frame.data)) addMetadata(frame.data)
      else addField(frame.event, frame.data)
    },
    get text() {
      return text
    },
    get data() {
      if (fields.size === 0 || isDataOmitted()) return undefined
      return Object.fromEntries([...fields].map(([name, { value }]) => [name, value]))
    },
    get hasOutput() {
      return hasOutput
    },
    get usage() {
      // The event tells of the last node only; the execution data of all of them.
      return executed ?? reported
    },
    get metadata() {
      return metadata
    },
    get chatMessageId() {
      return typeof metadata?.chatMessageId === 'string' ? metadata.chatMessageId : undefined
    },
    get followUpPrompts() {
      return readFollowUpPrompts(metadata?.followUpPrompts)
    },
    get isTruncated() {
      return isTruncated
    },
    get isDataOmitted() {
      return isDataOmitted()
    }
  }

  function addText(token: unknown): void {
    if (typeof token !== 'string' || isTruncated) return
    const bytes = Buffer.byteLength(token)
    isTruncated = textBytes + bytes > maxTextBytes
    text = isTruncated ? withoutHalfCharacter(text + cutToBytes(token, maxTextBytes - textBytes)) : text + token
    textBytes += bytes
  }

  function addMetadata(data: Record<string, unknown>): void {
    metadata = data
    for (const [name, value] of Object.entries(filterResult(data, allowed)))
      if (name !== 'question') addField(name, value)
  }

  function addField(name: string, data: unknown): void {
    if (!allowed.includes(name) || TEXT_FIELDS.includes(name) || HIDDEN_FIELDS.includes(name)) return
    const value = reduceField(name, data)
    const bytes = Buffer.byteLength(JSON.stringify(value) ?? '')
    // Several events of one name are growing versions of the same list: the last one is complete.
    fields.set(name, { value: bytes > maxDataBytes ? undefined : value, bytes })
  }

  function isDataOmitted(): boolean {
    let bytes = 0
    for (const field of fields.values()) bytes += field.bytes
    return bytes > maxDataBytes
  }
}

/** The longest beginning of the text that has at most this many bytes of UTF-8 and ends between two characters. */
export function cutToBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= maxBytes) return text
  let end = Math.max(0, maxBytes)
  while (end > 0 && isContinuation(bytes[end])) end -= 1
  return bytes.toString('utf8', 0, end)
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}

function withoutHalfCharacter(text: string): string {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text
}
