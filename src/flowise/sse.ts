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
export function createSseParser({ maxFrameBytes, onFrame }: SseParserOptions): SseParser {
  let pending = Buffer.allocUnsafe(FIRST_CAPACITY)
  let pendingBytes = 0
  let dataLines: string[] = []
  let dataBytes = 0
  let eventName = ''
  let isFirstLine = true
  let isAfterCr = false

  return {
    push(chunk) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      // Looked up once per carriage return, not once per line: the search runs to the end of the chunk when there is none.
      let cr = -1
      let at = 0
      while (at < bytes.length) {
        const after = isBetweenFrames() ? readWholeFrame(bytes, at) : at
        if (after > at) at = after
        else {
          if (cr < at) cr = nextCr(bytes, at)
          at = readLine(bytes, at, cr)
        }
      }
    },
    end() {
      if (pendingBytes > 0) finishLine(pending, 0, 0)
      const text = dataLines.join('\n')
      if (dataLines.length > 0 && isCompleteObject(text)) dispatch()
      else reset()
    },
    get bufferedBytes() {
      return pendingBytes + dataBytes
    }
  }

  function isBetweenFrames(): boolean {
    return pendingBytes === 0 && dataLines.length === 0 && eventName === '' && !isAfterCr
  }

  /** The common case, one Flowise event inside one chunk, without line buffers; `from` if it is anything else. */
  function readWholeFrame(bytes: Buffer, from: number): number {
    const start = behindPrefix(bytes, from)
    if (start === -1) return from
    const lineEnd = bytes.indexOf(LF, start)
    if (lineEnd === -1 || bytes[lineEnd + 1] !== LF) return from
    demandRoom(lineEnd - start + DATA_FIELD.length)
    const text = bytes.toString('utf8', bytes[start] === SPACE ? start + 1 : start, lineEnd)
    if (text.includes('\r')) return from
    isFirstLine = false
    onFrame(readFrame('', text))
    return lineEnd + 2
  }

  /** Takes one line, or what there is of it, and answers where the next one begins. */
  function readLine(bytes: Buffer, from: number, cr: number): number {
    if (isAfterCr) {
      isAfterCr = false
      if (bytes[from] === LF) return from + 1
    }
    const lf = bytes.subarray(from, cr).indexOf(LF)
    const lineEnd = lf === -1 ? cr : from + lf
    if (lineEnd >= bytes.length) {
      keep(bytes, from, bytes.length)
      return bytes.length
    }
    isAfterCr = bytes[lineEnd] === CR
    finishLine(bytes, from, lineEnd)
    return lineEnd + 1
  }

  function finishLine(bytes: Buffer, from: number, to: number): void {
    if (pendingBytes === 0) {
      demandRoom(to - from)
      takeLine(bytes.toString('utf8', from, to), to - from)
      return
    }
    if (to > from) keep(bytes, from, to)
    const length = pendingBytes
    pendingBytes = 0
    takeLine(pending.toString('utf8', 0, length), length)
    if (pending.length > FIRST_CAPACITY) pending = Buffer.allocUnsafe(FIRST_CAPACITY)
  }

  /** Copies into a buffer that doubles: linear in the bytes however small the chunks, and no chunk is held on to. */
  function keep(bytes: Buffer, from: number, to: number): void {
    const needed = pendingBytes + to - from
    demandRoom(needed)
    if (needed > pending.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, pending.length * 2))
      pending.copy(grown, 0, 0, pendingBytes)
      pending = grown
    }
    bytes.copy(pending, pendingBytes, from, to)
    pendingBytes = needed
  }

  function demandRoom(lineBytes: number): void {
    if (dataBytes + lineBytes > maxFrameBytes) throw new AppError('upstream_too_large')
  }

  function takeLine(withMark: string, lineBytes: number): void {
    const line = isFirstLine && withMark.startsWith('\uFEFF') ? withMark.slice(1) : withMark
    isFirstLine = false
    if (line === '') return dispatch()
    if (line.charCodeAt(0) === COLON) return
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') eventName = value
    if (field !== 'data') return
    dataLines.push(value)
    dataBytes += lineBytes
  }

  function dispatch(): void {
    const name = eventName
    const text = dataLines.join('\n')
    const hasData = dataLines.length > 0
    reset()
    if (hasData) onFrame(readFrame(name, text))
  }

  function reset(): void {
    eventName = ''
    dataLines = []
    dataBytes = 0
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
