import type { Writable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { startPings } from '../pings.ts'
import type { Sink } from './follow.ts'

export interface EventSinkOptions {
  writable: Writable
  clock: Clock
  pingMs: number
  /** A comment, at the boundary of a frame. */
  ping: string
  onPing: () => void
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
export function createEventSink(options: EventSinkOptions): EventSink {
  const { writable, clock, ping, pingMs, onPing } = options
  const pings = startPings({ writable, clock, pingMs, text: ping, onPing })

  function end(): void {
    pings.stop()
    if (writable.destroyed || writable.writableEnded) return
    writable.end()
    // Nobody waits for it any more, and it must not stay for ever.
    writable.once(
      'close',
      clock.after(LINGER_MS, () => writable.destroy())
    )
  }

  return {
    write(text) {
      if (writable.destroyed) return true
      pings.wrote()
      return writable.write(text)
    },
    onReady: (listener) => void writable.on('drain', listener),
    end,
    cut: end,
    isKeepingUp: () => writable.writableLength <= MAX_BEHIND_BYTES
  }
}
