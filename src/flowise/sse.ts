import { AppError } from '../errors.ts'
import { type Frame, isCompleteObject, readFrame } from './frame.ts'

const LF = 10
const CR = 13
const COLON = 58
const SPACE = 32
const DATA_FIELD = Buffer.from('data:')
/** How Flowise begins each of its events. */
const FLOWISE_PREFIX = Buffer.from('message:\ndata:')
const FIRST_CAPACITY = 1024
const NOTHING = Buffer.alloc(0)

export interface SseParserOptions {
  /** Most bytes of data one event may have; also the most that is ever buffered. */
  maxFrameBytes: number
  /** Called inside `push` and `end`, once per event, in order. What it throws comes out of `push`. */
  onFrame: (frame: Frame) => void
}

export interface SseParser {
  /** @throws upstream_too_large */
  push(chunk: Uint8Array): void
  /** Delivers a last event that lacks only its blank line, if its data is a complete JSON object. */
  end(): void
  readonly bufferedBytes: number
}

/**
 * Reads server-sent events from bytes as they arrive; the events are the same however the bytes are cut.
 * Comments, `id`, `retry` and unknown fields (Flowise writes `message:`) deliver nothing.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createSseParser(options: SseParserOptions): SseParser {
  return new LineParser(options)
}

/** A class, because each stream has one and its methods take every token. */
class LineParser implements SseParser {
  readonly #options: SseParserOptions
  #pending = NOTHING
  #pendingBytes = 0
  #dataLines: string[] = []
  #dataBytes = 0
  #eventName = ''
  #isFirstLine = true
  #isAfterCr = false

  constructor(options: SseParserOptions) {
    this.#options = options
  }

  get bufferedBytes(): number {
    return this.#pendingBytes + this.#dataBytes
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    // Looked up once per carriage return, not once per line: the search runs to the end of the chunk when there is none.
    let cr = -1
    let at = 0
    while (at < bytes.length) {
      const after = this.#isBetweenFrames() ? this.#readWholeFrame(bytes, at) : at
      if (after > at) at = after
      else {
        if (cr < at) cr = nextCr(bytes, at)
        at = this.#readLine(bytes, at, cr)
      }
    }
  }

  end(): void {
    if (this.#pendingBytes > 0) this.#finishLine(this.#pending, 0, 0)
    const text = this.#dataLines.join('\n')
    if (this.#dataLines.length > 0 && isCompleteObject(text)) this.#dispatch()
    else this.#reset()
  }

  #isBetweenFrames(): boolean {
    return this.#pendingBytes === 0 && this.#dataLines.length === 0 && this.#eventName === '' && !this.#isAfterCr
  }

  /** The common case, one Flowise event inside one chunk, without line buffers; `from` if it is anything else. */
  #readWholeFrame(bytes: Buffer, from: number): number {
    const start = behindPrefix(bytes, from)
    if (start === -1) return from
    const lineEnd = bytes.indexOf(LF, start)
    if (lineEnd === -1 || bytes[lineEnd + 1] !== LF) return from
    this.#demandRoom(lineEnd - start + DATA_FIELD.length)
    const text = bytes.toString('utf8', bytes[start] === SPACE ? start + 1 : start, lineEnd)
    if (text.includes('\r')) return from
    this.#isFirstLine = false
    this.#options.onFrame(readFrame('', text))
    return lineEnd + 2
  }

  /** Takes one line, or what there is of it, and answers where the next one begins. */
  #readLine(bytes: Buffer, from: number, cr: number): number {
    if (this.#isAfterCr) {
      this.#isAfterCr = false
      if (bytes[from] === LF) return from + 1
    }
    const lf = bytes.subarray(from, cr).indexOf(LF)
    const lineEnd = lf === -1 ? cr : from + lf
    if (lineEnd >= bytes.length) {
      this.#keep(bytes, from, bytes.length)
      return bytes.length
    }
    this.#isAfterCr = bytes[lineEnd] === CR
    this.#finishLine(bytes, from, lineEnd)
    return lineEnd + 1
  }

  #finishLine(bytes: Buffer, from: number, to: number): void {
    if (this.#pendingBytes === 0) {
      this.#demandRoom(to - from)
      this.#takeLine(bytes.toString('utf8', from, to), to - from)
      return
    }
    if (to > from) this.#keep(bytes, from, to)
    const length = this.#pendingBytes
    const text = this.#pending.toString('utf8', 0, length)
    this.#pendingBytes = 0
    // Most lines arrive whole, and most streams are silent most of the time.
    this.#pending = NOTHING
    this.#takeLine(text, length)
  }

  /** Copies into a buffer that doubles: linear in the bytes however small the chunks, and no chunk is held on to. */
  #keep(bytes: Buffer, from: number, to: number): void {
    const needed = this.#pendingBytes + to - from
    this.#demandRoom(needed)
    if (needed > this.#pending.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#pending.length * 2, FIRST_CAPACITY))
      this.#pending.copy(grown, 0, 0, this.#pendingBytes)
      this.#pending = grown
    }
    bytes.copy(this.#pending, this.#pendingBytes, from, to)
    this.#pendingBytes = needed
  }

  #demandRoom(lineBytes: number): void {
    if (this.#dataBytes + lineBytes > this.#options.maxFrameBytes) throw new AppError('upstream_too_large')
  }

  #takeLine(withMark: string, lineBytes: number): void {
    const line = this.#isFirstLine && withMark.startsWith('\uFEFF') ? withMark.slice(1) : withMark
    this.#isFirstLine = false
    if (line === '') return this.#dispatch()
    if (line.charCodeAt(0) === COLON) return
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#eventName = value
    if (field !== 'data') return
    this.#dataLines.push(value)
    this.#dataBytes += lineBytes
  }

  #dispatch(): void {
    const name = this.#eventName
    const text = this.#dataLines.join('\n')
    const hasData = this.#dataLines.length > 0
    this.#reset()
    if (hasData) this.#options.onFrame(readFrame(name, text))
  }

  #reset(): void {
    this.#eventName = ''
    this.#dataLines = []
    this.#dataBytes = 0
  }
}

function nextCr(bytes: Buffer, from: number): number {
  const at = bytes.indexOf(CR, from)
  return at === -1 ? bytes.length : at
}

/** Where the data begins, with or without Flowise's own line in front of it; -1 if something else stands there. */
function behindPrefix(bytes: Buffer, from: number): number {
  if (startsWith(bytes, FLOWISE_PREFIX, from)) return from + FLOWISE_PREFIX.length
  return startsWith(bytes, DATA_FIELD, from) ? from + DATA_FIELD.length : -1
}

/** Byte by byte: for so few a call into the engine costs more. */
function startsWith(bytes: Buffer, prefix: Buffer, at: number): boolean {
  for (let index = 0; index < prefix.length; index++) if (bytes[at + index] !== prefix[index]) return false
  return true
}
