import type { Writable } from 'node:stream'
import { type BodyWriter, createEventBody, type EventBody, type Silence } from '../event-body.ts'
import type { Dialect } from './dialect.ts'
import type { Frame } from './frame.ts'
import type { EventFilter } from './redaction.ts'
import type { Run, RunOutput } from './run-options.ts'

export interface WriterOptions {
  dialect: Dialect
  /** Where the bytes go. */
  writable: Writable
  /** What of an event the client may see. */
  filter: EventFilter
  /** Called at the first event, right before the first byte: the place for a head. */
  onOpen: () => void
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
export interface StreamWriter extends RunOutput {
  readonly isOpen: boolean
  /** Opens the stream if nothing did, writes what `closing` makes then, and ends it. */
  close(closing: () => string): void
}

/** A writer on anything that takes bytes; it never buffers more than the writable does, and what comes in one turn. */
export function createStreamWriter(options: WriterOptions, silence: Silence): StreamWriter {
  return new EventWriter(options, silence)
}

/** A class, because each stream has one. */
class EventWriter implements StreamWriter, BodyWriter {
  isOpen = false
  readonly #dialect: Dialect
  readonly #writable: Writable
  readonly #filter: EventFilter
  readonly #record: Recorder | undefined
  readonly #silence: Silence
  #onOpen: (() => void) | undefined
  #run: Run | undefined
  #body: EventBody | undefined

  constructor({ dialect, writable, filter, record, onOpen }: WriterOptions, silence: Silence) {
    this.#dialect = dialect
    this.#writable = writable
    this.#filter = filter
    this.#record = record
    this.#onOpen = onOpen
    this.#silence = silence
  }

  open(run?: Run): void {
    this.isOpen = true
    this.#run = run
    this.#onOpen?.()
    this.#onOpen = undefined
    const opening = this.#dialect.open()
    this.#record?.pushAll(opening)
    // Where the run goes on without its client, nobody slows it down.
    if (this.#writable.destroyed) return
    this.#body = createEventBody({ reply: this.#writable, ping: this.#dialect.ping, silence: this.#silence }, this)
    this.#body.write(opening)
  }

  frame(read: Frame): boolean {
    const event = this.#filter(read)
    if (event === undefined) return true
    const text = this.#dialect.event(event.event, event.json)
    this.#record?.push(text, event === read ? read.plainToken : undefined)
    return this.#body?.write(text) ?? true
  }

  onReady(): void {
    this.#run?.resume()
  }

  close(closing: () => string): void {
    if (!this.isOpen) this.open()
    if (this.#record === undefined && this.#writable.destroyed) return
    const text = closing()
    this.#record?.pushAll(text)
    this.#record?.end()
    this.#body?.end(text)
  }
}
