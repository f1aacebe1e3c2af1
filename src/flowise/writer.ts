import type { Writable } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { Dialect } from './dialect.ts'
import type { Frame } from './frame.ts'
import type { PublicEvent } from './redaction.ts'

export interface WriterOptions {
  dialect: Dialect
  writable: Writable
  clock: Clock
  pingMs: number
  /** What of an event the client may see. */
  filter: (frame: Frame) => PublicEvent | undefined
  /** The client has caught up after `frame` answered false. */
  onDrain: () => void
}

/** Writes one prediction to one client, frame by frame, and fills silence with comments. */
export interface StreamWriter {
  open(): void
  /** False if the client is slower than Flowise: read no further until `onDrain`. */
  frame(frame: Frame): boolean
  /** Writes the closing frames and ends the stream. */
  close(closing: string): void
}

/** A writer on anything that takes bytes; it never buffers more than the writable does. */
export function createStreamWriter(options: WriterOptions): StreamWriter {
  const { dialect, writable, clock, pingMs, filter } = options
  let wroteAt = 0
  let cancelPing = () => {}

  function write(text: string): boolean {
    if (text === '' || writable.destroyed) return true
    wroteAt = clock.now()
    return writable.write(text)
  }

  function schedulePing(delayMs: number): void {
    cancelPing = clock.after(delayMs, function pingIfSilent() {
      if (writable.destroyed || writable.writableEnded) return
      const silentMs = clock.now() - wroteAt
      // A client that does not read is not silent: a comment would only lengthen its queue.
      if (silentMs >= pingMs && !writable.writableNeedDrain) write(dialect.ping)
      schedulePing(silentMs >= pingMs ? pingMs : pingMs - silentMs)
    })
  }

  return {
    open() {
      wroteAt = clock.now()
      writable.on('drain', options.onDrain)
      writable.once('close', () => cancelPing())
      write(dialect.open())
      schedulePing(pingMs)
    },
    frame(frame) {
      const event = filter(frame)
      return event === undefined ? true : write(dialect.event(event.event, event.json))
    },
    close(closing) {
      cancelPing()
      if (!writable.destroyed) writable.end(closing)
    }
  }
}
