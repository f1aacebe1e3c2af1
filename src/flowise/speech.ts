import type { Readable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { toAppError } from './call.ts'
import type { Frame } from './frame.ts'
import { isRecord, pick } from './json.ts'
import { createSseParser } from './sse.ts'

/** Spoken text as it arrives; a failure is an event like the others. */
export interface SpeechLimits {
  clock: Clock
  /** Longest silence. */
  idleMs: number
  /** For all of it. */
  deadlineMs: number
  maxBytes: number
}

const MEMBERS: Record<string, readonly string[]> = {
  tts_start: ['format'],
  tts_data: ['audioChunk'],
  tts_end: [],
  tts_abort: []
}

/**
 * The events of Flowise's stream, one by one, with the client's id of the message in each. Ends at the first end.
 * The iteration throws upstream_error for an error event and for a stream without end, upstream_timeout, upstream_too_large.
 */
export async function* readSpeech(
  body: Readable,
  chatMessageId: string | null,
  { clock, idleMs, deadlineMs, maxBytes }: SpeechLimits
): AsyncGenerator<string> {
  let frames: Frame[] = []
  let left = maxBytes
  const parser = createSseParser({ maxFrameBytes: maxBytes, onFrame: (frame) => void frames.push(frame) })
  const stop = (): void => void body.destroy(new AppError('upstream_timeout'))
  const cancelDeadline = clock.after(deadlineMs, stop)
  const iterator: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      const cancel = clock.after(idleMs, stop)
      const { value, done } = await iterator.next().finally(cancel)
      if (done) throw new AppError('upstream_incomplete')
      left -= value.length
      if (left < 0) throw new AppError('upstream_too_large')
      parser.push(value)
      for (const { event, data } of frames) {
        if (event === 'tts_error') throw new AppError('upstream_error', {}, { cause: new Error(JSON.stringify(data)) })
        const members = Object.hasOwn(MEMBERS, event) ? MEMBERS[event] : undefined
        if (!members) continue
        yield speechFrame(event, { chatMessageId, ...pick(isRecord(data) ? data : {}, members) })
        if (event === 'tts_end' || event === 'tts_abort') return
      }
      frames = []
    }
  } catch (error) {
    throw toAppError(error, 'upstream_incomplete')
  } finally {
    cancelDeadline()
    body.on('error', () => {}).destroy()
  }
}

/** One event as Flowise writes it: its clients read the second line alone. */
export function speechFrame(event: string, data: Record<string, unknown>): string {
  return `event: ${event}\ndata: ${JSON.stringify({ event, data })}\n\n`
}
