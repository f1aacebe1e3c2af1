import type { Writable } from 'node:stream'
import type { Clock } from './clock.ts'

export interface PingOptions {
  clock: Clock
  /** Silence after which one is sent. */
  pingMs: number
  writable: Writable
  /** A comment, at the boundary of a frame. */
  text: string
  onPing: () => void
}

/** Fills the silence of a stream with comments. */
export interface Pings {
  /** Something was written: a clock reading and no timer. */
  wrote(): void
  stop(): void
}

/** Pings from now on, until the writable closes. */
export function startPings({ clock, pingMs, writable, text, onPing }: PingOptions): Pings {
  let wroteAt = clock.now()
  let cancel = () => {}
  const stop = () => cancel()

  function schedule(delayMs: number): void {
    cancel = clock.after(delayMs, function pingIfSilent() {
      if (writable.destroyed || writable.writableEnded) return
      const silentMs = clock.now() - wroteAt
      // A client that does not read is not silent: a comment would only lengthen its queue.
      if (silentMs >= pingMs && !writable.writableNeedDrain) {
        wroteAt = clock.now()
        writable.write(text)
        onPing()
      }
      schedule(silentMs >= pingMs ? pingMs : pingMs - silentMs)
    })
  }

  schedule(pingMs)
  writable.once('close', stop)
  return {
    wrote() {
      wroteAt = clock.now()
    },
    stop
  }
}
