import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { chatOwnerOf, type Identity } from '../src/auth/identity.ts'
import { AppError, catalogue, invalid } from '../src/errors.ts'
import { createExchange, type Exchange, type Outcome } from '../src/flowise/exchange.ts'
import { createRedaction, type Redaction } from '../src/flowise/redaction.ts'
import { ownSessionOfChat, type PredictionRequest, requestHash, sessionOfChat } from '../src/flowise/request.ts'
import { type PredictionResult, resultOf } from '../src/flowise/result.ts'
import { createTranscript } from '../src/flowise/transcript.ts'
import { sessionLease } from '../src/history/history.ts'
import { isOf } from '../src/history/known-sessions.ts'
import { runIdOf } from '../src/ids.ts'
import type { ChatflowRow, SessionRow } from '../src/store/collections.ts'
import { type Attendance, createAttendance } from '../src/streams/attendance.ts'
import type { LiveStream } from '../src/streams/live.ts'

declare module 'fastify' {
  interface FastifyInstance {
    openExchange: preHandlerAsyncHookHandler
    /** The predictions that run in this process, by run id. */
    exchanges: Map<string, Exchange>
    /**
     * Keeps the key's run alive while it works, and leaves with the key what `receiptOf` makes of the end for repetitions; the
     * key is free again where that is undefined.
     */
    keepKey(exchange: Exchange, run: KeyedRun, receiptOf: (outcome: Outcome) => unknown): void
    /** Stops the caller's run in this session, in whichever process it is. False if none is known to have run. */
    stopRun(identity: Identity, sessionId: string): Promise<boolean>
  }
  interface FastifyContextConfig {
    /** Its streams have ids with which a client can come back. */
    isResumable?: boolean
  }
  interface FastifyRequest {
    /** What is asked; set by the route's own reader before the guard's hooks. */
    prediction: PredictionRequest | null
    /** The running prediction; null also when an idempotency key replays an old one. */
    exchange: Exchange | null
    /** Where clients that come back follow the prediction; null where they cannot. */
    liveStream: LiveStream | null
    /** The session as it was when this prediction took it. */
    session: SessionRow | null
    /** The stored result of an earlier request with the same idempotency key; else null. */
    replay: unknown
  }
}

/** A run under an idempotency key. */
export interface KeyedRun {
  accountId: string
  key: string
  rid: string
}

/** User, session, and the chatflows that the caller is confined to. */
type RunToStop = [userId: string, sessionId: string, chatflowIds?: readonly string[] | null]

/** How long a session stays taken by a process that died. */
export const SESSION_LEASE_MS = 60_000
const RETRY_SECONDS = 1
/** On every reply that repeats a stored result, an error too. */
export const REPLAYED = 'idempotency-replayed'
const STOPS = 'stops'
const STOPPED = 'stopped'
/** How long the process that has the run may take to say so. */
const STOPPED_WITHIN_MS = 500

/** Step 5 and 6 of a prediction: idempotency key, session fence, one run per session, and the end of them all. */
export default fp(
  async function exchange(app: FastifyInstance) {
    const exchanges = new Map<string, Exchange>()
    const keyedRuns = new Set<KeyedRun>()
    app.decorate('exchanges', exchanges)
    app.decorateRequest('prediction', null)
    app.decorateRequest('exchange', null)
    app.decorateRequest('liveStream', null)
    app.decorateRequest('session', null)
    app.decorateRequest('replay', null)

    app.decorate('openExchange', async function openExchange(request, reply) {
      const { prediction, identity, grant } = request
      if (!prediction || !identity || !grant)
        throw new AppError('internal_error', { detail: 'openExchange ran too early' })
      const key = keyOfChatter(identity, idempotencyKeyOf(request))
      const keyed =
        key === undefined ? undefined : await beginKeyed(identity.userId, key, prediction).catch(tellWhere(reply))
      if (keyed?.state === 'replay') {
        request.replay = keyed.receipt
        reply.header(REPLAYED, 'true')
        return
      }
      const messageId = keyed?.messageId ?? app.ids.ordered()
      const runId = runIdOf(messageId)
      const keyedRun = key === undefined ? undefined : { accountId: identity.userId, key, rid: runId }
      let sessionId: string
      let lease: string
      try {
        const { sessionId: name } = prediction
        const named = name === undefined ? undefined : await namedSession(name, prediction, identity, grant.chatflow.id)
        sessionId = named?.sessionId ?? newSession(identity, grant.chatflow.id, messageId)
        lease = sessionLease(sessionId)
        // From now on the session is this run's alone.
        if (!(await app.bus.acquire(lease, runId, SESSION_LEASE_MS)))
          throw new AppError('session_busy', { retryAfterSeconds: RETRY_SECONDS })
        request.session = named?.session ?? null
      } catch (error) {
        if (keyedRun) await app.idempotency.forget(keyedRun)
        throw error
      }
      const redaction = redactionFor(request, messageId)
      const opened = createExchange({
        runId,
        userId: identity.userId,
        sessionId,
        messageId,
        requestId: request.id,
        chatflow: grant.chatflow,
        kind: prediction.wantsStream ? 'sse' : 'json',
        startedAt: app.clock.now(),
        transcript: createTranscript({ allowed: redaction.kept }),
        redaction
      })
      exchanges.set(runId, opened)
      opened.beforeConcluded(() => {
        exchanges.delete(runId)
        return app.bus.release(lease, runId)
      })
      if (keyedRun) app.keepKey(opened, keyedRun, (outcome) => keptResult(opened, outcome))
      request.exchange = opened
      // The one place that notices a client leaving: it fires once for every way a response can close.
      reply.whenClosed(whenLeft(request, opened))
      app.lifecycle.run(opened.concluded)
    })

    /** What it means that the client has left. Where nobody can come instead of it, that is the end. */
    function whenLeft(request: FastifyRequest, opened: Exchange): () => void {
      const continueMs = continueMsOf(request, opened.chatflow)
      const abandon = () => opened.stop('abandoned')
      if (continueMs === 0) return abandon
      const attendance = createAttendance(app.clock, continueMs, abandon)
      opened.whenEnded(() => attendance.close())
      if (isResumable(request)) request.liveStream = goLive(opened, attendance)
      return attendance.join()
    }

    /** How long it goes on without a client. Where none can come back only what an administrator has said counts. */
    function continueMsOf(request: FastifyRequest, { onDisconnect }: ChatflowRow): number {
      if (!request.prediction?.wantsStream) return 0
      return onDisconnect?.continueMs ?? (isResumable(request) ? app.config.resume.continueMs : 0)
    }

    function goLive(opened: Exchange, attendance: Attendance): LiveStream {
      const { messageId, userId, sessionId, chatflow, transcript } = opened
      const seed = { messageId, userId, sessionId, chatflowId: chatflow.id, told: transcript, attendance }
      const live = app.liveStreams.open(seed)
      opened.whenEnded(({ ending, code }) => {
        if (ending === 'refused') live.refuse(code ?? 'message_not_found')
      })
      return live
    }

    app.decorate('stopRun', async function stopRun({ userId, key }, sessionId) {
      const run: RunToStop = [userId, sessionId, key?.chatflowIds ?? null]
      if (stopLocal(run)) return true
      return app.config.redisUrl !== undefined && stopElsewhere(JSON.stringify(run))
    })
    app.bus.subscribe(STOPS, (run) => {
      if (stopLocal(JSON.parse(run))) app.bus.publish(STOPPED, run)
    })

    async function stopElsewhere(run: string): Promise<boolean> {
      const { promise: answer, resolve } = Promise.withResolvers<boolean>()
      const leave = app.bus.subscribe(STOPPED, (stopped) => {
        if (stopped === run) resolve(true)
      })
      const cancel = app.clock.after(STOPPED_WITHIN_MS, () => resolve(false))
      app.bus.publish(STOPS, run)
      const isStopped = await answer
      leave()
      cancel()
      return isStopped
    }

    function stopLocal([userId, sessionId, chatflowIds]: RunToStop): boolean {
      for (const running of exchanges.values()) {
        if (running.userId !== userId || running.sessionId !== sessionId) continue
        if (chatflowIds?.includes(running.chatflow.id) === false) continue
        running.stop('stopped')
        return true
      }
      return false
    }

    app.lifecycle.drainSignal.addEventListener('abort', function endRuns() {
      for (const running of exchanges.values()) running.stop('drained')
    })
    app.lifecycle.every(SESSION_LEASE_MS / 4, 'session leases', async function renewLeases() {
      // One that was lost, because Redis started empty, is taken again here.
      const renewals = [...exchanges].map(([runId, { sessionId }]) =>
        app.bus.acquire(sessionLease(sessionId), runId, SESSION_LEASE_MS)
      )
      await Promise.all(renewals)
      await Promise.allSettled([...keyedRuns].map((run) => app.idempotency.renew(run)))
    })

    /**
     * Without `session` where it is new. It is read before it is taken, so that naming somebody else's session does not hold it
     * up; a write in between is found by history.begin.
     * @throws session_not_found if it is somebody else's or another chatflow's
     */
    async function namedSession(sessionId: string, asked: PredictionRequest, identity: Identity, chatflowId: string) {
      const { clientChatId } = asked
      const owner = { userId: identity.userId, chatflowId }
      const session = await app.history.sessionToContinue(sessionId, owner)
      if (!session || isOf(session, owner)) return { sessionId, session }
      if (clientChatId === undefined) throw new AppError('session_not_found')
      const own = ownSessionOfChat(chatOwnerOf(identity), chatflowId, clientChatId)
      return { sessionId: own, session: await app.history.sessionToContinue(own, owner) }
    }

    /** A visitor's chat that has no name yet is called like its first answer: it is found again by that. */
    function newSession(identity: Identity, chatflowId: string, messageId: string): string {
      const owner = chatOwnerOf(identity)
      return owner.visitorId === null ? app.ids.ordered() : sessionOfChat(owner, chatflowId, messageId)
    }

    app.decorate('keepKey', function keepKey(opened, run, receiptOf) {
      keyedRuns.add(run)
      opened.beforeConcluded(async (outcome) => {
        keyedRuns.delete(run)
        const receipt = receiptOf(outcome)
        if (receipt === undefined) await app.idempotency.forget(run)
        else await app.idempotency.finish({ ...run, receipt })
      })
    })

    /** What repetitions of the key are answered. */
    function keptResult(opened: Exchange, outcome: Outcome): PredictionResult | undefined {
      const result = resultOf(opened, outcome, opened.redaction.stored)
      return isKept(result) ? result : undefined
    }

    function beginKeyed(accountId: string, key: string, prediction: PredictionRequest) {
      return app.idempotency.begin({ accountId, key, bodyHash: requestHash(prediction) })
    }
  },
  {
    name: 'exchange',
    dependencies: ['request-context', 'lifecycle', 'bus', 'history', 'permissions', 'credits', 'streams']
  }
)

/**
 * Whether a repeated key gets this result again: an answer, a failure of the flow, and whatever cost something.
 * What cost nothing and invites a repetition (503, a client that left) is forgotten, so that the repetition can work.
 */
function isKept({ ending, code, chargedMicro }: PredictionResult): boolean {
  if (ending === 'completed' || chargedMicro > 0) return true
  return code !== undefined && catalogue[code][0] !== 'unavailable' && ending !== 'refused'
}

function isResumable({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.isResumable === true
}

/** Where the answer to the first request with this key can be followed. */
function tellWhere(reply: FastifyReply): (error: unknown) => never {
  return (error) => {
    const messageId = error instanceof AppError ? error.params.extra?.message_id : undefined
    if (messageId !== undefined) reply.header('content-location', streamPath(String(messageId)))
    throw error
  }
}

/** The path of a prediction's stream. */
export function streamPath(messageId: string): string {
  return `/api/v1/chat/streams/${encodeURIComponent(messageId)}`
}

/** What the caller may see of the chatflow's answers. */
export function redactionFor({ grant, identity }: FastifyRequest, messageId: string): Redaction {
  const isStranger = identity?.key?.kind === 'embed_token'
  return createRedaction(grant?.chatflow ?? {}, { isStranger, messageId })
}

/** Visitors of a user's pages choose keys of their own; the blank in between is in no key that anybody sends. */
function keyOfChatter(identity: Identity, key: string | undefined): string | undefined {
  const { visitorId } = chatOwnerOf(identity)
  return key === undefined || visitorId === null ? key : `${visitorId} ${key}`
}

/** @throws validation_error unless it is 1 to 128 visible ASCII characters */
export function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(key))
    throw invalid(['header', 'Idempotency-Key'], 'must be 1 to 128 visible ASCII characters')
  return key
}
