import { readFollowUpPrompts } from './answer.ts'
import type { Frame } from './frame.ts'
import { isRecord } from './json.ts'
import { filterResult, HIDDEN_FIELDS } from './redaction.ts'
import { reduceField } from './reduce.ts'
import { type TokenUsage, usageOf, usageOfExecution } from './usage.ts'

const TEXT_FIELDS: readonly string[] = ['text', 'question', 'token', 'start', 'thinking', 'metadata', 'end', 'error']
const MAX_TEXT_BYTES = 1_048_576
const MAX_DATA_BYTES = 262_144
/** The longer a text is, the more rarely it is joined: this many bytes are copied for a token. */
const BYTES_PER_PIECE = 256
const FEWEST_PIECES = 8
const TOOL_EVENTS: readonly string[] = ['artifacts', 'usedTools', 'calledTools', 'tool', 'agent_trace']

export interface TranscriptOptions {
  /** Names of the non-text fields to keep. */
  allowed: readonly string[]
  /** Default 1 MiB. */
  maxTextBytes?: number
  /** Default 256 KiB, for all fields together. */
  maxDataBytes?: number
}

/** What of a frame counts here. */
export type Told = Pick<Frame, 'event' | 'data'>

/** What a run has delivered so far, as history and billing need it. */
export interface Transcript {
  add(told: Told): void
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
export function isOutput({ event, data }: Told): boolean {
  if (event === 'token') return typeof data === 'string' && data !== ''
  if (!TOOL_EVENTS.includes(event)) return false
  return Array.isArray(data) ? data.length > 0 : Boolean(data)
}

/** Collects the events of one run. The text is that of the tokens: what `start` carries, Flowise repeats as a token. */
export function createTranscript(options: TranscriptOptions): Transcript {
  return new CollectedTranscript(options)
}

/** One per run, and read at every event: a class, because its accessors are made once and not for each run. */
class CollectedTranscript implements Transcript {
  readonly #options: TranscriptOptions
  #fields: Map<string, { value: unknown; bytes: number }> | undefined
  #textBytes = 0
  #pieces = 0
  #reported: TokenUsage | undefined
  #executed: TokenUsage | undefined
  text = ''
  isTruncated = false
  hasOutput = false
  metadata: Record<string, unknown> | undefined

  constructor(options: TranscriptOptions) {
    this.#options = options
  }

  add({ event, data }: Told): void {
    this.hasOutput ||= isOutput({ event, data })
    if (event === 'token') return this.#addText(data)
    if (event === 'usageMetadata') this.#reported = usageOf(data) ?? this.#reported
    if (event === 'agentFlowExecutedData') this.#executed = usageOfExecution(data) ?? this.#executed
    if (event === 'metadata' && isRecord(data)) this.#addMetadata(data)
    else this.#addField(event, data)
  }

  get data(): Record<string, unknown> | undefined {
    if (this.#fields === undefined || this.isDataOmitted) return undefined
    return Object.fromEntries([...this.#fields].map(([name, { value }]) => [name, value]))
  }

  get usage(): TokenUsage | undefined {
    // The event tells of the last node only; the execution data of all of them.
    return this.#executed ?? this.#reported
  }

  get chatMessageId(): string | undefined {
    const id = this.metadata?.chatMessageId
    return typeof id === 'string' ? id : undefined
  }

  get followUpPrompts(): string | undefined {
    return readFollowUpPrompts(this.metadata?.followUpPrompts)
  }

  get isDataOmitted(): boolean {
    if (this.#fields === undefined) return false
    let bytes = 0
    for (const field of this.#fields.values()) bytes += field.bytes
    return bytes > this.#maxDataBytes
  }

  get #maxDataBytes(): number {
    return this.#options.maxDataBytes ?? MAX_DATA_BYTES
  }

  #addText(token: unknown): void {
    if (typeof token !== 'string' || this.isTruncated) return
    const { maxTextBytes = MAX_TEXT_BYTES } = this.#options
    const bytes = Buffer.byteLength(token)
    this.isTruncated = this.#textBytes + bytes > maxTextBytes
    if (this.isTruncated)
      this.text = withoutHalfCharacter(this.text + cutToBytes(token, maxTextBytes - this.#textBytes))
    else this.text += token
    this.#textBytes += bytes
    if (++this.#pieces >= Math.max(FEWEST_PIECES, this.#textBytes / BYTES_PER_PIECE)) this.#join()
  }

  /** What was added is an object per token until somebody looks at a character; those that stay make collecting garbage slow. */
  #join(): void {
    this.text.charCodeAt(0)
    this.#pieces = 0
  }

  #addMetadata(data: Record<string, unknown>): void {
    this.metadata = data
    for (const [name, value] of Object.entries(filterResult(data, this.#options.allowed)))
      if (name !== 'question') this.#addField(name, value)
  }

  #addField(name: string, data: unknown): void {
    if (!this.#options.allowed.includes(name) || TEXT_FIELDS.includes(name) || HIDDEN_FIELDS.includes(name)) return
    const value = reduceField(name, data)
    const bytes = Buffer.byteLength(JSON.stringify(value) ?? '')
    this.#fields ??= new Map()
    // Several events of one name are growing versions of the same list: the last one is complete.
    this.#fields.set(name, { value: bytes > this.#maxDataBytes ? undefined : value, bytes })
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
