import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { Clock } from './clock.ts'

export interface EventBodyOptions {
  /** A reply whose head has been made. */
  reply: Writable & { chunkedEncoding?: boolean; socket?: unknown; flushHeaders?: () => void }
  clock: Clock
  /** Silence after which a comment is sent. */
  pingMs: number
  /** The comment, at the boundary of a frame. */
  ping: string
  onPing: () => void
  /** The client can take more after `write` answered false, or it has left and nobody needs to wait for it. */
  onReady: () => void
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
 * a connection they are framed here.
 */
export function createEventBody({ reply, clock, pingMs, ping, onPing, onReady }: EventBodyOptions): EventBody {
  const isChunked = reply.chunkedEncoding === true && reply.socket instanceof Socket
  if (isChunked) reply.chunkedEncoding = false
  let waiting = ''
  let isBlocked = false
  let hasHead = false
  let wroteAt = clock.now()
  let cancelPing = clock.after(pingMs, pingIfSilent)
  reply.on('drain', ready)
  reply.once('close', close)

  function flush(): void {
    const text = waiting
    waiting = ''
    if (text === '' || reply.destroyed) return
    wroteAt = clock.now()
    // Corked and uncorked by hand it leaves now, and not in a further turn.
    reply.cork()
    // Node keeps the head as long as the reply lasts: in all its pieces, unless it is written by itself.
    if (!hasHead) reply.flushHeaders?.()
    hasHead = true
    const wasBlocked = isBlocked
    isBlocked = !reply.write(isChunked ? chunk(text) : text)
    reply.uncork()
    if (wasBlocked && !isBlocked) onReady()
  }

  function ready(): void {
    isBlocked = false
    onReady()
  }

  function close(): void {
    cancelPing()
    ready()
  }

  function pingIfSilent(): void {
    const silentMs = clock.now() - wroteAt
    // A client that does not read is not silent: a comment would only lengthen its queue.
    if (silentMs >= pingMs && !isBlocked) {
      waiting += ping
      flush()
      onPing()
    }
    cancelPing = clock.after(silentMs >= pingMs ? pingMs : pingMs - silentMs, pingIfSilent)
  }

  return {
    write(text) {
      if (text === '' || reply.destroyed || reply.writableEnded) return true
      if (waiting === '') process.nextTick(flush)
      waiting += text
      // As Node will say when it is written: who is to read no further must know at once, and not at the next event.
      isBlocked ||= waiting.length + reply.writableLength >= reply.writableHighWaterMark
      return !isBlocked
    },
    end(text = '') {
      cancelPing()
      const rest = waiting + text
      waiting = ''
      if (reply.destroyed || reply.writableEnded) return
      reply.end(isChunked ? chunk(rest) + LAST_CHUNK : rest)
    }
  }
}

/** The text as one chunk of an HTTP/1.1 body; none if it is empty, since that one would be the last. */
function chunk(text: string): string {
  return text === '' ? '' : `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}
