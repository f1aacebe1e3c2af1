import type { Room } from './room.ts'
import { createSummary, lengthOf, type Summary, type Told, type TokenFrame } from './summary.ts'

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
  /** One frame. Costs no copy of it; one that is `token` as the buffer would write it costs next to nothing. */
  push(frame: string, token?: string): void
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
const NOBODY: (() => void)[] = []

/** A buffer without frames. */
export function createReplayBuffer(options: ReplayBufferOptions): ReplayBuffer {
  return new FrameBuffer(options)
}

/** A class, because each stream has one and is told of each token. */
class FrameBuffer implements ReplayBuffer {
  isEnded = false
  isDropped = false
  readonly #room: Room
  readonly #maxBytes: number
  readonly #minBytes: number
  readonly #tokenFrame: TokenFrame
  /** Of what has left; nearly all streams are shorter. */
  #summary: Summary | undefined
  #told: Told
  #listeners: (() => void)[] = NOBODY
  /** Empty for tokens that are in the text. */
  #frames: string[] = []
  #textLengths: number[] = []
  /** Of the text, before the first of them. */
  #lengthBefore = 0
  /** Index of the first frame that is kept, and its id. */
  #first = 0
  #firstId = 1
  #keptBytes = 0

  constructor({ told, tokenFrame, room, maxBytes, minBytes }: ReplayBufferOptions) {
    this.#room = room
    this.#maxBytes = maxBytes
    this.#minBytes = minBytes
    this.#tokenFrame = tokenFrame
    this.#told = told
  }

  get lastId(): number {
    return this.#firstId + this.#frames.length - this.#first - 1
  }

  push(frame: string, token?: string): void {
    this.#add(token !== undefined && this.#isInText(token) ? '' : frame)
    this.#tell()
  }

  pushAll(text: string): void {
    for (const frame of framesOf(text)) this.#add(frame)
    this.#tell()
  }

  end(): void {
    if (this.isEnded) return
    this.isEnded = true
    const isNeeded = this.#summary?.textLength !== undefined || this.#frames.includes('', this.#first)
    const text = isNeeded ? this.#told.text : ''
    this.#told = { text, isTruncated: false }
    this.#take(text.length)
    this.#tell()
  }

  drop(): void {
    this.#take(-this.#keptBytes)
    this.#told = { text: '', isTruncated: false }
    this.isDropped = true
    this.#firstId = this.lastId + 1
    this.#frames = []
    this.#textLengths = []
    this.#first = 0
    this.#tell()
  }

  begin(after: number | undefined): Reading | undefined {
    const isHere = after !== undefined && after > 0 && after >= this.#firstId - 1 && after <= this.lastId
    return isHere ? { text: '', id: after } : this.#beginAgain()
  }

  read(id: number, wantedBytes: number): Reading | 'behind' | undefined {
    const frames = this.#frames
    if (id < this.#firstId - 1) return 'behind'
    const from = this.#first + id - this.#firstId + 1
    if (from >= frames.length) return undefined
    let to = from
    let text = ''
    for (let bytes = 0; to < frames.length && bytes < wantedBytes; to++) {
      const frame = this.#frameAt(to)
      text += frame
      bytes += sizeOf(frame)
    }
    return { text, id: id + to - from }
  }

  watch(listener: () => void): () => void {
    // Each time another list: one that is being told must not change.
    this.#listeners = [...this.#listeners, listener]
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener)
    }
  }

  #take(bytes: number): void {
    this.#keptBytes += bytes
    this.#room.take(bytes)
  }

  /** True if it is what the text has gained since the frame before. */
  #isInText(token: string): boolean {
    const length = lengthOf(this.#told)
    return !this.#told.isTruncated && length - this.#lengthAt(this.#frames.length - 1) === token.length
  }

  #lengthAt(index: number): number {
    return index < 0 ? this.#lengthBefore : (this.#textLengths[index] ?? 0)
  }

  #frameAt(index: number): string {
    const id = this.#firstId + index - this.#first
    const token = () => this.#told.text.slice(this.#lengthAt(index - 1), this.#lengthAt(index))
    return this.#frames[index] || this.#tokenFrame(id, token())
  }

  #add(frame: string): void {
    this.#frames.push(flat(frame))
    this.#textLengths.push(lengthOf(this.#told))
    this.#take(sizeOf(frame))
    while (this.#isFull() && this.#first < this.#frames.length) this.#shift()
  }

  #isFull(): boolean {
    if (this.#keptBytes > this.#maxBytes) return true
    return this.#room.isOverfull() && this.#keptBytes - (this.#summary?.keptBytes ?? 0) > this.#minBytes
  }

  #shift(): void {
    const size = sizeOf(this.#frames[this.#first])
    this.#summary ??= createSummary(this.#tokenFrame, this.#maxBytes / 2)
    const before = this.#summary.keptBytes
    this.#summary.add(this.#firstId, this.#frameAt(this.#first), this.#lengthAt(this.#first))
    this.#take(this.#summary.keptBytes - before - size)
    this.#frames[this.#first] = ''
    this.#first++
    this.#firstId++
    if (this.#first >= TIDY_AT && this.#first * 2 >= this.#frames.length) this.#tidy()
  }

  #tidy(): void {
    this.#lengthBefore = this.#lengthAt(this.#first - 1)
    this.#frames = this.#frames.slice(this.#first)
    this.#textLengths = this.#textLengths.slice(this.#first)
    this.#first = 0
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #beginAgain(): Reading | undefined {
    if (this.#firstId === 1) return { text: '', id: 0 }
    if (this.isDropped || this.#summary?.textLength === undefined) return undefined
    return { text: this.#summary.frames(this.#told.text), id: this.#firstId - 1 }
  }
}

/** The same text in one piece: what was put together is an object per part until somebody looks at a character. */
function flat(text: string): string {
  text.charCodeAt(0)
  return text
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
