import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { chatOwnerOf, identityOf } from '../src/auth/identity.ts'
import { AppError } from '../src/errors.ts'
import { sessionOfChat } from '../src/flowise/request.ts'
import { sentenceOf } from '../src/flowise/sentences.ts'
import { readSpeech, speechFrame } from '../src/flowise/speech.ts'
import { derivedRunId } from '../src/ids.ts'
import { signalOfLeaving } from '../src/leaving.ts'
import { FLOWISE_SSE_HEADERS } from './flowise-answers.ts'
import { toAppError } from './problem.ts'

/** A message that is read aloud, as its client names it. */
export interface Spoken {
  chatflowId: string
  chatId: string
  chatMessageId: string | null
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Has Flowise speak a text and sends the sound as it comes; a failure is an event, as at Flowise. @throws too_many_predictions */
    speak(request: FastifyRequest, reply: FastifyReply, spoken: Spoken & { text: string }): Promise<FastifyReply>
    /** Ends what the caller has begun in this chat. */
    endSpeech(request: FastifyRequest, spoken: Spoken): Promise<void>
  }
}

const LEASE_MS = 60_000
/** Of one user at once. */
const PLACES = 5

/** Answers read aloud. */
export default fp(
  async function speech(app: FastifyInstance) {
    const { clock, bus, flowise, ids } = app
    const { idleTimeoutMs: idleMs, deadlineMs, maxAnswerBytes: maxBytes } = app.config.flowise
    const running = new Map<string, Set<AbortController>>()

    app.decorate('speak', async function speak(request, reply, { text, ...spoken }) {
      const place = `speech:${identityOf(request).userId}`
      const owner = ids.run()
      if (!(await bus.acquire(place, owner, LEASE_MS, PLACES)))
        throw new AppError('too_many_predictions', { retryAfterSeconds: 1 })
      const upstream = upstreamOf(request, spoken)
      const ended = new AbortController()
      const leaving = signalOfLeaving(reply.raw)
      const signal = AbortSignal.any([ended.signal, leaving, app.lifecycle.drainSignal])

      // Only what is read is remembered; the place of what nobody reads is free again after a minute.
      async function* events(): AsyncGenerator<string> {
        const forget = remember(upstream.chatMessageId, ended)
        try {
          const body = await flowise.speak({ ...upstream, text }, signal)
          yield* readSpeech(body, spoken.chatMessageId, { clock, idleMs, deadlineMs, maxBytes })
        } catch (thrown) {
          const error = toAppError(thrown)
          if (ended.signal.aborted) yield speechFrame('tts_abort', { chatMessageId: spoken.chatMessageId })
          else if (!leaving.aborted) {
            app.log.warn({ request_id: request.id, err: error }, 'speech failed')
            yield speechFrame('tts_error', { chatMessageId: spoken.chatMessageId, error: sentenceOf(error) })
          }
        } finally {
          forget()
          await bus.release(place, owner)
        }
      }
      return reply.headers(FLOWISE_SSE_HEADERS).send(Readable.from(events(), { objectMode: false }))
    })

    app.decorate('endSpeech', async function endSpeech(request, spoken) {
      const upstream = upstreamOf(request, spoken)
      for (const ended of running.get(upstream.chatMessageId) ?? []) ended.abort()
      // It may run in another process: Flowise knows it by the same ids there.
      await flowise.endSpeech(upstream)
    })

    function remember(id: string, ended: AbortController): () => void {
      const same = running.get(id) ?? new Set()
      running.set(id, same.add(ended))
      return () => {
        same.delete(ended)
        if (same.size === 0) running.delete(id)
      }
    }
  },
  { name: 'speech', dependencies: ['lifecycle', 'bus', 'auth', 'flowise', 'flowise-answers', 'problem'] }
)

/**
 * Ids of their own, the same ones each time: to end a speech, Flowise closes every stream of its chat, and the answer
 * that is being written is not to go with it.
 */
function upstreamOf(request: FastifyRequest, { chatflowId, chatId, chatMessageId }: Spoken) {
  const owner = chatOwnerOf(identityOf(request))
  const sessionId = sessionOfChat(owner, chatflowId, chatId)
  const id = derivedRunId('speech', owner.userId, chatflowId, sessionId, chatMessageId ?? '')
  return { chatflowId, chatId: `speech-${id}`, chatMessageId: id }
}
