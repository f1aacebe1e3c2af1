import type { Writable } from 'node:stream'
import { createEventBody, type Silence } from '../event-body.ts'
import type { Sink } from './follow.ts'

export interface EventSinkOptions {
  writable: Writable
  /** A comment, at the boundary of a frame. */
  ping: string
  silence: Silence
}

/** Bytes that wait for a client that is slower than another process sends them. */
const MAX_BEHIND_BYTES = 524_288
/** How long a client may take to read what was written when its stream had ended. */
const LINGER_MS = 30_000

/** The reply of a follower. */
export interface EventSink extends Sink {
  /** For frames that nobody can hold back. */
  isKeepingUp(): boolean
}

/** A sink for a reply whose head has been sent. */
export function createEventSink({ writable, ping, silence }: EventSinkOptions): EventSink {
  let ready = () => {}
  const body = createEventBody({ reply: writable, ping, silence }, { onReady: () => ready() })

  function end(): void {
    if (writable.destroyed || writable.writableEnded) return
    body.end()
    // Nobody waits for it any more, and it must not stay for ever.
    writable.once(
      'close',
      silence.clock.after(LINGER_MS, () => writable.destroy())
    )
  }

  return {
    write: (text) => body.write(text),
    onReady(listener) {
      ready = listener
    },
    end,
    cut: end,
    isKeepingUp: () => writable.writableLength <= MAX_BEHIND_BYTES
  }
}
