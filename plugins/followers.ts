import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf } from '../src/auth/identity.ts'
import { toCredits } from '../src/credits/pricing.ts'
import { AppError } from '../src/errors.ts'
import type { Silence } from '../src/event-body.ts'
import { storedStream } from '../src/flowise/stored-stream.ts'
import { runIdOf } from '../src/ids.ts'
import type { MessageRow } from '../src/store/collections.ts'
import { createRemoteStreams, type RemoteClient } from '../src/streams/asks.ts'
import { createEventSink, type EventSink } from '../src/streams/event-sink.ts'
import { follow } from '../src/streams/follow.ts'
import type { LiveStream } from '../src/streams/live.ts'
import { find, isRead, offerStreams } from '../src/streams/offers.ts'
import { isVisible, type Question, type Wanted } from '../src/streams/question.ts'
import { SSE_HEADERS, startEvents } from './answers.ts'
import { statusOf } from './problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Answers with the stream of a message: what is left of it behind `after`, the id of the last frame that was received,
     * or else all of it again; 204 if nothing is left.
     * @throws message_not_found, request_in_progress, too_many_followers, and what the prediction failed with
     */
    followMessage(request: FastifyRequest, reply: FastifyReply, messageId: string, after?: number): Promise<void>
    /** Answers with the stream that runs in a session, from its beginning; 204 if none does. @throws session_not_found and as above */
    followSession(request: FastifyRequest, reply: FastifyReply, sessionId: string): Promise<void>
  }
}

const RETRY_SECONDS = 2
const PING = ': ping\n'
/** How long those who follow have at a shutdown to read what was written. */
const LINGER_MS = 2000

/** Clients that come back to a stream, or watch it a second time: from here, from another process, or from the history. */
export default fp(
  async function followers(app: FastifyInstance) {
    const { bus, clock, ids, liveStreams: streams, history, lifecycle } = app
    const remote = createRemoteStreams({ bus, clock, ids })
    offerStreams({ bus, clock, streams, isShown })
    const silence: Silence = { clock, pingMs: app.config.pingMs, onPing: app.metrics.pingSent }
    const sinks = new Set<EventSink>()
    // Its own runs end by themselves; those of other processes go on there.
    lifecycle.drainSignal.addEventListener('abort', remote.close)
    let onAllLeft = () => {}
    // By now all runs have ended: the server would wait for those who do not read as long as they like.
    app.addHook('preClose', async function cutFollowers() {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>()
      onAllLeft = end
      const cancel = clock.after(LINGER_MS, end)
      if (sinks.size > 0) await ended
      cancel()
      for (const { cut } of sinks) cut()
    })

    app.decorate('followMessage', async function followMessage(request, reply, messageId, after) {
      const question = questionOf(request, { messageId }, after)
      const live = find(streams, question)
      if (live) return followHere(live, question, reply)
      const running = app.exchanges.get(runIdOf(messageId))
      if (running && isVisible(question, { userId: running.userId, chatflowId: running.chatflow.id }))
        throw inProgress()
      const before = await stored(question, messageId)
      // Who has none of it is served as well from here; the rest of what somebody has is only where it ran.
      if (before && before.part === undefined && after === undefined) return replay(before, question, request, reply)
      if (await followElsewhere(question, reply)) return
      const run = await app.receipts.find(messageId)
      // Credits are held by what runs elsewhere, or died a moment ago.
      if (run && isVisible(question, run) && run.state === 'held') throw inProgress()
      const message = await stored(question, messageId)
      if (!message) throw new AppError('message_not_found')
      return replay(message, question, request, reply)
    })

    app.decorate('followSession', async function followSession(request, reply, sessionId) {
      const question = questionOf(request, { sessionId })
      const live = find(streams, question)
      if (live) return followHere(live, question, reply)
      for (const { sessionId: its, userId, chatflow } of app.exchanges.values())
        if (its === sessionId && isVisible(question, { userId, chatflowId: chatflow.id })) throw inProgress()
      const session = await history.owned(question.userId, sessionId)
      if (!isVisible(question, session)) throw new AppError('session_not_found')
      // From its beginning until its clean end a run has its session marked.
      if (session.isUnclean && (await followElsewhere(question, reply))) return
      void reply.code(204).send()
    })

    /** An ended stream goes with its conversation. */
    async function isShown({ buffer, refusal, sessionId, userId }: LiveStream): Promise<boolean> {
      return !buffer.isEnded || refusal !== undefined || (await history.session(sessionId))?.userId === userId
    }

    async function followHere(live: LiveStream, question: Question, reply: FastifyReply): Promise<void> {
      if (!(await isShown(live))) throw new AppError('message_not_found')
      if (isRead(live, question)) return void reply.code(204).send()
      let stop = () => {}
      const leave = live.join()
      reply.whenClosed(() => {
        leave()
        stop()
      })
      await begunOrLeft(live, reply)
      if (reply.raw.destroyed) return void reply.hijack()
      if (live.refusal) throw new AppError(live.refusal)
      const place = live.buffer.begin(question.after)
      if (!place) throw inProgress()
      stop = follow(live, place, begin(reply))
    }

    /** False if no other process has it. */
    async function followElsewhere(question: Question, reply: FastifyReply): Promise<boolean> {
      if (app.config.redisUrl === undefined) return false
      if (lifecycle.drainSignal.aborted) throw new AppError('draining', { retryAfterSeconds: RETRY_SECONDS })
      const client: RemoteClient = {
        open() {
          const sink = begin(reply)
          return { ...sink, write: (text) => sink.write(text) || sink.isKeepingUp() }
        },
        onLeave: (listener) => reply.whenClosed(listener)
      }
      const found = await remote.follow(question, client)
      if (found === 'nothing') void reply.code(204).send()
      if (found === 'nobody' && reply.raw.destroyed) reply.hijack()
      return found !== 'nobody' || reply.raw.destroyed
    }

    async function replay(
      message: MessageRow,
      { after }: Question,
      request: FastifyRequest,
      reply: FastifyReply
    ): Promise<void> {
      const run = await app.receipts.find(message.id)
      const receipt = run === undefined ? {} : { credits_charged: toCredits(run.chargedMicro) }
      const { text, lastId } = storedStream({ message, requestId: request.id, receipt, statusOf })
      if (after === lastId) return void reply.code(204).send()
      void reply.headers(SSE_HEADERS).send(text)
    }

    async function stored(question: Question, messageId: string): Promise<MessageRow | undefined> {
      const message = await history.answerOf(question.userId, messageId)
      return message && isVisible(question, message) ? message : undefined
    }

    function begin(reply: FastifyReply): EventSink {
      startEvents(reply)
      // Who has all that was said so far must not wait for more to hear that it goes on.
      if (!reply.raw.destroyed) reply.raw.flushHeaders()
      const sink = createEventSink({ writable: reply.raw, ping: PING, silence })
      sinks.add(sink)
      reply.whenClosed(() => {
        sinks.delete(sink)
        if (sinks.size === 0) onAllLeft()
      })
      return sink
    }
  },
  {
    name: 'followers',
    dependencies: ['request-context', 'answers', 'exchange', 'streams', 'history', 'bus', 'lifecycle', 'usage']
  }
)

function questionOf(request: FastifyRequest, wanted: Wanted, after?: number): Question {
  const { userId, key } = identityOf(request)
  return { wanted, userId, chatflowIds: key?.chatflowIds ?? null, after }
}

function inProgress(): AppError {
  const detail = 'The prediction is still running, and cannot be followed from here. Its answer will be in the history.'
  return new AppError('request_in_progress', { detail, retryAfterSeconds: RETRY_SECONDS })
}

/** Resolves with the first frame, or when the client has left before. */
async function begunOrLeft({ begun }: LiveStream, reply: FastifyReply): Promise<void> {
  const { promise: left, resolve: leave } = Promise.withResolvers<void>()
  reply.whenClosed(leave)
  await Promise.race([begun, left])
}
