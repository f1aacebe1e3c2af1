import { finished, type Writable } from 'node:stream'

/** Aborts when the response has been sent or nobody waits for it any more: what was begun for it may end. */
export function signalOfLeaving(response: Writable): AbortSignal {
  const left = new AbortController()
  finished(response, { readable: false }, () => left.abort())
  return left.signal
}
