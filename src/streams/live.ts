import type { Clock } from '../clock.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import type { Attendance } from './attendance.ts'
import { createReplayBuffer, type ReplayBuffer } from './replay-buffer.ts'
import { createRoom } from './room.ts'
import type { Told, TokenFrame } from './summary.ts'

/** Whose stream it is, and of what. */
export interface StreamSeed {
  messageId: string
  userId: string
  sessionId: string
  chatflowId: string
  told: Told
  attendance: Attendance
}

/** A stream that can be followed while it runs and for some time after its end. */
export interface LiveStream extends Omit<StreamSeed, 'told' | 'attendance'> {
  readonly buffer: ReplayBuffer
  /** Resolves with the first frame, or when there will never be one. */
  readonly begun: Promise<void>
  /** Why there is no stream. */
  readonly refusal: ErrorCode | undefined
  /** Frames as one text, opening or closing. */
  push(frame: string, token?: string): void
  pushAll(text: string): void
  end(): void
  /** It ended before its first frame. */
  refuse(code: ErrorCode): void
  /** One more client; returns what to call when it leaves. @throws too_many_followers */
  join(): () => void
}

export interface LiveStreams {
  open(seed: StreamSeed): LiveStream
  get(messageId: string): LiveStream | undefined
  /** The one that runs in this session. */
  running(userId: string, sessionId: string): LiveStream | undefined
  /** Of all buffers together. */
  readonly keptBytes: number
  /** Clients that follow one of them now. */
  readonly followers: number
}

export interface LiveStreamsOptions {
  clock: Clock
  tokenFrame: TokenFrame
  /** Of all buffers together. */
  maxBytes: number
}

const BYTES_PER_STREAM = { minBytes: 8192, maxBytes: 262_144 } as const
const MAX_FOLLOWERS = 20
/** How long, and how many, ended streams wait for clients that come back. */
const KEPT_MS = 30_000
const MAX_KEPT = 1000

/** The streams of this process. */
export function createLiveStreams({ clock, tokenFrame, maxBytes }: LiveStreamsOptions): LiveStreams {
  const streams = new Map<string, LiveStream>()
  /** By message id, in the order in which they ended, with what cancels their timer. */
  const ended = new Map<string, () => void>()
  const room = createRoom(maxBytes, forgetOldest)
  let following = 0

  function forget(messageId: string): void {
    ended.get(messageId)?.()
    ended.delete(messageId)
    streams.get(messageId)?.buffer.drop()
    streams.delete(messageId)
  }

  function forgetOldest(): boolean {
    const [oldest] = ended.keys()
    if (oldest !== undefined) forget(oldest)
    return oldest !== undefined
  }

  function keepForLater(messageId: string): void {
    if (ended.has(messageId) || !streams.has(messageId)) return
    ended.set(
      messageId,
      clock.after(KEPT_MS, () => forget(messageId))
    )
    if (ended.size > MAX_KEPT) forgetOldest()
  }

  const all: Streams = {
    counted(change) {
      following += change
    },
    ended(messageId) {
      keepForLater(messageId)
      room.isOverfull()
    }
  }

  function open(seed: StreamSeed): LiveStream {
    const buffer = createReplayBuffer({ told: seed.told, tokenFrame, room, ...BYTES_PER_STREAM })
    const stream = new OpenStream(seed, buffer, all)
    streams.set(seed.messageId, stream)
    return stream
  }

  return {
    open,
    get: (messageId) => streams.get(messageId),
    running(userId, sessionId) {
      for (const stream of streams.values())
        if (stream.sessionId === sessionId && stream.userId === userId && !stream.buffer.isEnded) return stream
      return undefined
    },
    get keptBytes() {
      return room.takenBytes
    },
    get followers() {
      return following
    }
  }
}

/** What all of them together have to know of one. */
interface Streams {
  counted(change: 1 | -1): void
  ended(messageId: string): void
}

/** A class, because each run has one. */
class OpenStream implements LiveStream {
  readonly messageId: string
  readonly userId: string
  readonly sessionId: string
  readonly chatflowId: string
  readonly buffer: ReplayBuffer
  refusal: ErrorCode | undefined
  readonly #attendance: Attendance
  readonly #streams: Streams
  #followers = 0
  #hasBegun = false
  /** Only where somebody waits for it: nearly all streams have no followers. */
  #begun: PromiseWithResolvers<void> | undefined

  constructor(
    { messageId, userId, sessionId, chatflowId, attendance }: StreamSeed,
    buffer: ReplayBuffer,
    all: Streams
  ) {
    this.messageId = messageId
    this.userId = userId
    this.sessionId = sessionId
    this.chatflowId = chatflowId
    this.buffer = buffer
    this.#attendance = attendance
    this.#streams = all
  }

  get begun(): Promise<void> {
    this.#begun ??= Promise.withResolvers<void>()
    if (this.#hasBegun) this.#begun.resolve()
    return this.#begun.promise
  }

  push(frame: string, token?: string): void {
    this.buffer.push(frame, token)
  }

  pushAll(text: string): void {
    if (this.refusal) return
    this.buffer.pushAll(text)
    this.#begin()
  }

  end(): void {
    this.buffer.end()
    this.#begin()
    this.#streams.ended(this.messageId)
  }

  refuse(code: ErrorCode): void {
    if (this.buffer.isEnded) return
    this.refusal = code
    this.end()
  }

  join(): () => void {
    if (this.#followers >= MAX_FOLLOWERS) throw new AppError('too_many_followers')
    this.#count(1)
    const leave = this.#attendance.join()
    let isThere = true
    return () => {
      if (!isThere) return
      isThere = false
      this.#count(-1)
      leave()
    }
  }

  #begin(): void {
    this.#hasBegun = true
    this.#begun?.resolve()
  }

  #count(change: 1 | -1): void {
    this.#followers += change
    this.#streams.counted(change)
  }
}
