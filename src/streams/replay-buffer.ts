import type { Room } from './room.ts'
import { createSummary, lengthOf, type Told, type TokenFrame } from './summary.ts'

export interface ReplayBufferOptions {
  /** What the run has said; not held any longer than to the end. */
  told: Told
  tokenFrame: TokenFrame
  room: Room
  /** Of the frames that are kept. */
  maxBytes: number
  /** So many stay even if there is no room: whoever keeps up must not miss each of them. */
  minBytes: number
}

/** Frames of one stream up to and with this id. */
export interface Reading {
  text: string
  id: number
}

/**
 * The last frames of one stream as they were written, numbered 1, 2, 3 …; each is kept as the text that the client was
 * sent. What does not fit leaves at the front, and a summary stands for it.
 */
export interface ReplayBuffer {
  readonly lastId: number
  readonly isEnded: boolean
  /** Nobody waits for those who have not read it. */
  readonly isDropped: boolean
  /** One frame. Costs no copy of it. */
  push(frame: string): void
  /** Several frames in one text. */
  pushAll(text: string): void
  /** There will be no more. */
  end(): void
  /** Gives its room back; whoever reads on is behind. */
  drop(): void
  /**
   * What to send first to somebody who has everything up to `after`: nothing if the rest is here, else the beginning
   * again. Undefined if neither can be had.
   */
  begin(after: number | undefined): Reading | undefined
  /** The frames behind `id`, about `maxBytes` of them; 'behind' if some have left, undefined if there are none yet. */
  read(id: number, maxBytes: number): Reading | 'behind' | undefined
  /** Calls at each new frame and at the end; returns the function that ends it. */
  watch(listener: () => void): () => void
}

/** What a frame costs beside its text. */
const FRAME_BYTES = 64
const TIDY_AT = 512

/** A buffer without frames. */
export function createReplayBuffer(options: ReplayBufferOptions): ReplayBuffer {
  const { told: source, tokenFrame, room, maxBytes, minBytes } = options
  const listeners = new Set<() => void>()
  const summary = createSummary(tokenFrame, maxBytes / 2)
  let told = source
  let frames: string[] = []
  let textLengths: number[] = []
  /** Index of the first frame that is kept, and its id. */
  let first = 0
  let firstId = 1
  let keptBytes = 0
  let isEnded = false
  let isDropped = false

  const isFull = () => keptBytes > maxBytes || (room.isOverfull() && keptBytes - summary.keptBytes > minBytes)
  const lastId = () => firstId + frames.length - first - 1

  function take(bytes: number): void {
    keptBytes += bytes
    room.take(bytes)
  }

  function add(frame: string): void {
    frames.push(frame)
    textLengths.push(lengthOf(told))
    take(sizeOf(frame))
    while (isFull() && first < frames.length) shift()
  }

  function shift(): void {
    const frame = frames[first] ?? ''
    const before = summary.keptBytes
    summary.add(firstId, frame, textLengths[first] ?? 0)
    take(summary.keptBytes - before - sizeOf(frame))
    frames[first] = ''
    first++
    firstId++
    if (first >= TIDY_AT && first * 2 >= frames.length) tidy()
  }

  function tidy(): void {
    frames = frames.slice(first)
    textLengths = textLengths.slice(first)
    first = 0
  }

  function tell(): void {
    for (const listener of listeners) listener()
  }

  function beginAgain(): Reading | undefined {
    if (firstId === 1) return { text: '', id: 0 }
    if (isDropped || summary.textLength === undefined) return undefined
    return { text: summary.frames(told.text), id: firstId - 1 }
  }

  return {
    get lastId() {
      return lastId()
    },
    get isEnded() {
      return isEnded
    },
    get isDropped() {
      return isDropped
    },
    push(frame) {
      add(frame)
      tell()
    },
    pushAll(text) {
      for (const frame of framesOf(text)) add(frame)
      tell()
    },
    end() {
      if (isEnded) return
      isEnded = true
      const text = firstId === 1 || summary.textLength === undefined ? '' : told.text
      told = { text, isTruncated: false }
      take(text.length)
      tell()
    },
    drop() {
      take(-keptBytes)
      told = { text: '', isTruncated: false }
      isDropped = true
      firstId = lastId() + 1
      frames = []
      textLengths = []
      first = 0
      tell()
    },
    begin(after) {
      const isHere = after !== undefined && after > 0 && after >= firstId - 1 && after <= lastId()
      return isHere ? { text: '', id: after } : beginAgain()
    },
    read(id, wantedBytes) {
      if (id < firstId - 1) return 'behind'
      const from = first + id - firstId + 1
      if (from >= frames.length) return undefined
      let to = from
      for (let bytes = 0; to < frames.length && bytes < wantedBytes; to++) bytes += sizeOf(frames[to])
      return { text: frames.slice(from, to).join(''), id: id + to - from }
    },
    watch(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    }
  }
}

/** About: a text in other than Latin letters takes twice as much, but to find out would cost every token. */
function sizeOf(frame = ''): number {
  return frame.length + FRAME_BYTES
}

/** The frames of a text of whole frames. */
export function framesOf(text: string): string[] {
  // JSON has no line breaks of its own: an empty line ends a frame and nothing else.
  return text.split(/(?<=\n\n)/).filter((frame) => frame !== '')
}
