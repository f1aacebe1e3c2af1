import type { LiveStream } from './live.ts'
import type { Reading } from './replay-buffer.ts'

/** Where the frames of a stream go. */
export interface Sink {
  /** False: no more until `onReady` is called. */
  write(text: string): boolean
  /** Calls when it can take more after it answered false. */
  onReady(listener: () => void): void
  /** All was written. */
  end(): void
  /** The rest cannot be had here; the client may come back for it. */
  cut(): void
}

const READ_BYTES = 65_536

/**
 * Writes what the stream has and gets, at the pace of the sink; nobody else waits for it. Returns the function that ends
 * it early.
 */
export function follow({ buffer }: LiveStream, place: Reading, sink: Sink): () => void {
  let { id } = place
  let isBlocked = false
  let isOver = false
  const unwatch = buffer.watch(pump)
  sink.onReady(() => {
    isBlocked = false
    pump()
  })
  if (place.text !== '') isBlocked = !sink.write(place.text)
  pump()
  return stop

  function stop(): void {
    isOver = true
    unwatch()
  }

  function pump(): void {
    while (!isOver) {
      // Who is blocked only needs to hear that it is too late.
      const next = buffer.read(id, isBlocked ? 0 : READ_BYTES)
      if (isBlocked && next !== 'behind' && !buffer.isDropped) return
      if (next === undefined && !buffer.isEnded) return
      if (next === undefined || next === 'behind') {
        stop()
        return next === undefined ? sink.end() : sink.cut()
      }
      id = next.id
      isBlocked = !sink.write(next.text)
    }
  }
}
