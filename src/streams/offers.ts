import type { Bus } from '../bus/port.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { follow, type Sink } from './follow.ts'
import { type Ask, LETTERS, type Reply, SILENT_MS } from './letters.ts'
import type { LiveStream, LiveStreams } from './live.ts'
import { isVisible, type Question } from './question.ts'

/** Frames wait this long for more, so that tokens travel together. */
const BATCH_MS = 20

interface Conversation {
  stay(): void
  stop(): void
}

export interface OfferOptions {
  bus: Bus
  clock: Clock
  streams: LiveStreams
  /** False for one whose conversation has been deleted. */
  isShown: (stream: LiveStream) => Promise<boolean>
}

/** Lets clients of other processes follow the streams of this one. */
export function offerStreams({ bus, clock, streams, isShown }: OfferOptions): void {
  const conversations = new Map<string, Conversation>()

  bus.subscribe(LETTERS.ask, (message) => {
    const ask: Ask = JSON.parse(message)
    if (ask.from === bus.instance || conversations.has(ask.id)) return
    const stream = find(streams, ask.question)
    // Who gets no answer looks into the history.
    if (stream)
      isShown(stream).then(
        (isIt) => isIt && converse(ask, stream),
        () => {}
      )
  })
  bus.subscribe(LETTERS.stay, (id) => conversations.get(id)?.stay())
  bus.subscribe(LETTERS.leave, (id) => conversations.get(id)?.stop())
  bus.watch(({ isUp }) => {
    if (!isUp) for (const { stop } of conversations.values()) stop()
  })

  function converse({ id, from, question }: Ask, stream: LiveStream): void {
    let number = 0
    let ready = () => {}
    let cancelBatch = () => {}
    let cancelSilence = () => {}
    let unfollow = () => {}
    let leave = () => {}
    const reply = (kind: Reply['kind'], more: Partial<Reply> = {}) =>
      bus.send(from, LETTERS.reply, JSON.stringify({ id, from: bus.instance, number: number++, kind, ...more }))

    function stop(): void {
      for (const cancel of [cancelBatch, cancelSilence, unfollow, leave]) cancel()
      conversations.delete(id)
    }
    function last(kind: Reply['kind'], more?: Partial<Reply>): void {
      stop()
      reply(kind, more)
    }
    function expectLife(): void {
      cancelSilence()
      cancelSilence = clock.after(SILENT_MS, stop)
    }
    function refuse(error: unknown): void {
      last('refused', { code: error instanceof AppError ? error.code : 'internal_error' })
    }

    const sink: Sink = {
      write(text) {
        reply('frames', { text })
        cancelBatch = clock.after(BATCH_MS, () => ready())
        return false
      },
      onReady(listener) {
        ready = listener
      },
      end: () => last('end'),
      cut: () => last('cut')
    }

    function begin(): void {
      if (!conversations.has(id)) return
      if (stream.refusal) return last('refused', { code: stream.refusal })
      const place = stream.buffer.begin(question.after)
      if (place) unfollow = follow(stream, place, sink)
      else last('refused', { code: 'request_in_progress' })
    }

    if (isRead(stream, question)) return reply('nothing')
    try {
      leave = stream.join()
    } catch (error) {
      return refuse(error)
    }
    conversations.set(id, {
      stop,
      stay() {
        expectLife()
        reply('taken')
      }
    })
    expectLife()
    reply('taken')
    void stream.begun.then(begin)
  }
}

/** True if the one who asks has all of it. */
export function isRead({ buffer }: LiveStream, { after }: Question): boolean {
  return buffer.isEnded && after !== undefined && after === buffer.lastId
}

/** The stream that is asked for, if it is here and may be seen. */
export function find(streams: LiveStreams, question: Question): LiveStream | undefined {
  const { wanted, userId } = question
  const stream = 'messageId' in wanted ? streams.get(wanted.messageId) : streams.running(userId, wanted.sessionId)
  return stream && isVisible(question, stream) ? stream : undefined
}
