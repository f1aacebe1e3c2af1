import type { Writable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { createEventBody, type EventBody } from '../event-body.ts'
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
  /** Hears all that is written, also when the client has gone. */
  record?: Recorder | undefined
}

/** Keeps what was written for clients that come back. */
export interface Recorder {
  /** One frame; `token` is its text if it is that of a plain token. */
  push(frame: string, token?: string): void
  /** Several in one text. */
  pushAll(text: string): void
  end(): void
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

/** A writer on anything that takes bytes; it never buffers more than the writable does, and what comes in one turn. */
export function createStreamWriter(options: WriterOptions): StreamWriter {
  const { dialect, writable, clock, pingMs, filter, record, onPing, onDrain } = options
  let body: EventBody | undefined
  // No getters: objects that have them are slow, and each stream has one.
  const writer: StreamWriter & { isOpen: boolean } = { isOpen: false, open, frame, close }
  return writer

  function open(): void {
    writer.isOpen = true
    options.onOpen()
    const opening = dialect.open()
    record?.pushAll(opening)
    // Where the run goes on without its client, nobody slows it down.
    if (writable.destroyed) return
    body = createEventBody({ reply: writable, clock, pingMs, ping: dialect.ping, onPing, onReady: onDrain })
    body.write(opening)
  }

  function frame(read: Frame): boolean {
    const event = filter(read)
    if (event === undefined) return true
    const text = dialect.event(event.event, event.json)
    record?.push(text, event === read ? read.plainToken : undefined)
    return body?.write(text) ?? true
  }

  function close(closing: () => string): void {
    if (!writer.isOpen) open()
    if (record === undefined && writable.destroyed) return
    const text = closing()
    record?.pushAll(text)
    record?.end()
    body?.end(text)
  }
}
