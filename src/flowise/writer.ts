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
  /** Called right before the first byte: the place for a head. */
  onOpen: () => void
  /** The client has caught up after `frame` answered false. */
  onDrain: () => void
  onPing: () => void
}

/** Writes one prediction to one client, frame by frame, and fills silence with comments. */
export interface StreamWriter {
  readonly isOpen: boolean
  open(): void
  /** False if the client is slower than Flowise: read no further until `onDrain`. */
  frame(frame: Frame): boolean
  /** Opens the stream if nothing did, writes what `closing` makes then, and ends it. */
  close(closing: () => string): void
}

/** A writer on anything that takes bytes; it never buffers more than the writable does. */
export function createStreamWriter(options: WriterOptions): StreamWriter {
  const { dialect, writable, clock, pingMs, filter } = options
  let isOpen = false
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
      if (silentMs >= pingMs && !writable.writableNeedDrain) {
        write(dialect.ping)
        options.onPing()
      }
      schedulePing(silentMs >= pingMs ? pingMs : pingMs - silentMs)
    })
  }

  function open(): void {
    isOpen = true
    wroteAt = clock.now()
    options.onOpen()
    writable.on('drain', options.onDrain)
    writable.once('close', () => cancelPing())
    write(dialect.open())
    schedulePing(pingMs)
  }

  return {
    get isOpen() {
      return isOpen
    },
    open,
    frame(frame) {
      const event = filter(frame)
      return event === undefined ? true : write(dialect.event(event.event, event.json))
    },
    close(closing) {
      if (!isOpen) open()
      cancelPing()
      if (!writable.destroyed) writable.end(closing())
    }
  }
}
