import type { Clock } from './clock.ts'

export interface TimeLimit {
  clock: Clock
  timeoutMs: number
  /** What it fails with when the time is over. */
  tooLate: () => Error
  /** Ends it before that. */
  signal?: AbortSignal | undefined
}

/** Runs `work` with a signal that ends it when the time is over; then it fails with `tooLate`, whatever `work` made of the signal. */
export async function within<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { clock, timeoutMs, tooLate, signal }: TimeLimit
): Promise<T> {
  const deadline = new AbortController()
  const cancel = clock.after(timeoutMs, () => deadline.abort(tooLate()))
  try {
    return await work(signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal)
  } catch (error) {
    throw deadline.signal.aborted ? deadline.signal.reason : error
  } finally {
    cancel()
  }
}

export interface SizeLimit {
  maxBytes: number
  /** What it fails with when there is more. */
  tooLarge: () => Error
}

/** A body to its end. */
export async function readBytes(body: AsyncIterable<Buffer>, { maxBytes, tooLarge }: SizeLimit): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Leaving the loop by an exception destroys the body, and with it the connection.
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
