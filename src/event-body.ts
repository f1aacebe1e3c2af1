import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { Clock } from './clock.ts'

export interface EventBodyOptions {
  /** A reply whose head has been made. */
  reply: Writable & { chunkedEncoding?: boolean; socket?: unknown; flushHeaders?: () => void }
  /** A comment, at the boundary of a frame. */
  ping: string
  silence: Silence
}

/** What the streams of a process have in common: when the comment is sent. */
export interface Silence {
  clock: Clock
  /** Silence after which it is. */
  pingMs: number
  onPing: () => void
}

/** Who writes to a body. */
export interface BodyWriter {
  /** The client can take more after `write` answered false, or it has left and nobody needs to wait for it. */
  onReady(): void
}

/** The body of a reply that is a stream of events; silence in it is filled with comments. */
export interface EventBody {
  /** Goes out together with all else that is written in this turn. False: no more until `onReady`. */
  write(text: string): boolean
  /** Writes the text and ends the reply. */
  end(text?: string): void
}

/** Ends a body of chunks. */
const LAST_CHUNK = '0\r\n\r\n'

/**
 * A body that costs one write to the socket per turn. Node frames each chunk with three writes more, so where chunks go to
 * a connection they are framed here, and written to the connection itself.
 */
export function createEventBody(options: EventBodyOptions, writer: BodyWriter): EventBody {
  return new TurnBody(options, writer)
}

/** A class, because each stream has one. */
class TurnBody implements EventBody {
  readonly #reply: EventBodyOptions['reply']
  readonly #ping: string
  readonly #silence: Silence
  readonly #writer: BodyWriter
  /** Where chunks are framed here. */
  readonly #connection: Socket | undefined
  readonly #out: Writable
  #waiting = ''
  #isBlocked = false
  #hasHead = false
  #wroteAt: number
  #cancelPing: () => void

  constructor({ reply, ping, silence }: EventBodyOptions, writer: BodyWriter) {
    this.#reply = reply
    this.#ping = ping
    this.#silence = silence
    this.#writer = writer
    this.#connection = reply.chunkedEncoding === true && reply.socket instanceof Socket ? reply.socket : undefined
    if (this.#connection) reply.chunkedEncoding = false
    this.#out = this.#connection ?? reply
    this.#wroteAt = silence.clock.now()
    this.#cancelPing = silence.clock.after(silence.pingMs, this.#pingIfSilent)
    const ready = () => this.#ready()
    this.#out.on('drain', ready)
    // It closes once: what `once` would keep for that is more than the listener.
    reply.on('close', () => {
      this.#cancelPing()
      // The next reply of a connection is not this one's.
      this.#out.off('drain', ready)
      ready()
    })
  }

  write(text: string): boolean {
    const reply = this.#reply
    if (text === '' || reply.destroyed || reply.writableEnded) return true
    if (this.#waiting === '') process.nextTick(flush, this)
    this.#waiting += text
    // As Node will say when it is written: who is to read no further must know at once, and not at the next event.
    this.#isBlocked ||= this.#waiting.length + this.#out.writableLength >= this.#out.writableHighWaterMark
    return !this.#isBlocked
  }

  end(text = ''): void {
    const reply = this.#reply
    this.#cancelPing()
    const rest = this.#waiting + text
    this.#waiting = ''
    if (reply.destroyed || reply.writableEnded) return
    reply.end(this.#connection ? chunk(rest) + LAST_CHUNK : rest)
  }

  flush(): void {
    const reply = this.#reply
    const text = this.#waiting
    this.#waiting = ''
    if (text === '' || reply.destroyed) return
    this.#wroteAt = this.#silence.clock.now()
    // Corked and uncorked by hand it leaves now, and not in a further turn; what a connection is given does that by itself.
    const isCorked = !this.#hasHead || this.#connection === undefined
    if (isCorked) reply.cork()
    // Node keeps the head as long as the reply lasts: in all its pieces, unless it is written by itself.
    if (!this.#hasHead) reply.flushHeaders?.()
    this.#hasHead = true
    const wasBlocked = this.#isBlocked
    this.#isBlocked = !this.#out.write(this.#connection ? chunk(text) : text)
    if (isCorked) reply.uncork()
    if (wasBlocked && !this.#isBlocked) this.#writer.onReady()
  }

  #ready(): void {
    this.#isBlocked = false
    this.#writer.onReady()
  }

  readonly #pingIfSilent = (): void => {
    const { clock, pingMs, onPing } = this.#silence
    const silentMs = clock.now() - this.#wroteAt
    // A client that does not read is not silent: a comment would only lengthen its queue.
    if (silentMs >= pingMs && !this.#isBlocked) {
      this.#waiting += this.#ping
      this.flush()
      onPing()
    }
    this.#cancelPing = clock.after(silentMs >= pingMs ? pingMs : pingMs - silentMs, this.#pingIfSilent)
  }
}

function flush(body: TurnBody): void {
  body.flush()
}

/** The text as one chunk of an HTTP/1.1 body; none if it is empty, since that one would be the last. */
function chunk(text: string): string {
  return text === '' ? '' : `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}
