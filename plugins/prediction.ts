import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { persist } from '../src/credits/persist.ts'
import { AppError } from '../src/errors.ts'
import type { Exchange, Outcome } from '../src/flowise/exchange.ts'
import { buildPredictionBody } from '../src/flowise/prediction.ts'
import type { FilePart } from '../src/flowise/request.ts'
import { type Run, type RunOptions, type RunOutput, startRun } from '../src/flowise/run.ts'
import { nextUpstreamIds } from '../src/flowise/upstream-ids.ts'
import type { History } from '../src/history/history.ts'
import { createKeeper } from '../src/history/keeper.ts'
import { repeat } from '../src/repeat.ts'
import type { SessionRow } from '../src/store/collections.ts'

/** A prediction that has been sent to Flowise. */
export interface Running {
  /** Resolves with how it ended, after the money and the history are settled. */
  concluded: Promise<Outcome>
  /** Reads on after the output said stop. */
  resume(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Sends the request's prediction to Flowise. @throws chatflow_not_found, session_busy and the upstream codes */
    startPrediction(request: FastifyRequest, output?: RunOutput): Promise<Running>
  }
}

/** What is stored before Flowise is asked. */
interface Opened {
  session: SessionRow
  files: FilePart[]
}

/** As long as a settlement is repeated: what is not in the history is not charged. */
const HISTORY_RETRIES_MS = [200, 1000, 5000, 15_000, 30_000]

/** Step 8 of a prediction: the pre-check, the question in the history, Flowise, and the answer in the history. */
export default fp(
  async function prediction(app: FastifyInstance) {
    const { firstByteTimeoutMs, idleTimeoutMs, deadlineMs, maxAnswerBytes } = app.config.flowise

    app.decorate('startPrediction', async function startPrediction(request, output) {
      const { exchange, prediction: asked, bill } = request
      if (!exchange || !asked || !bill)
        throw new AppError('internal_error', { detail: 'startPrediction ran too early' })
      app.metrics.predictionStarted(exchange.kind)
      exchange.whenEnded(async (outcome) => observe(exchange, outcome))
      const opened = exchange.outcome ? undefined : await open(request, exchange, asked.shown)
      const session = opened?.session
      const streaming = session !== undefined && asked.wantsStream && (await canStream(exchange))
      // The client may have left at any step; what never reaches Flowise ends here.
      if (opened === undefined || session === undefined || exchange.outcome)
        return { concluded: concluded(exchange), resume() {} }
      const { resume } = start({
        exchange,
        hold: bill.hold,
        client: app.flowise,
        clock: app.clock,
        limits: { firstByteTimeoutMs, idleTimeoutMs, deadlineMs, maxAnswerBytes },
        body: buildPredictionBody({
          ...asked,
          question: asked.question === '' ? undefined : asked.question,
          chatId: session.upstream.chatId,
          sessionId: session.upstream.sessionId,
          streaming,
          overrideAllow: exchange.chatflow.overrideAllow ?? []
        }),
        files: opened.files,
        filesAs: asked.filesAs,
        chatId: session.upstream.chatId,
        clientAddress: request.ip,
        ...(output ? { output } : {}),
        track: (work) => void app.lifecycle.track(work)
      })
      return { concluded: concluded(exchange), resume }
    })

    /** What cannot even be sent is a fault of the gateway, and still ends the exchange. */
    function start(options: RunOptions): Run {
      try {
        return startRun(options)
      } catch (error) {
        options.exchange.end({ ending: 'failed_before_output', code: 'internal_error', cause: error, isClean: true })
        return { resume() {} }
      }
    }

    /** Stores the files, the session and the question; a store that fails now ends the prediction before Flowise hears of it. */
    async function open(request: FastifyRequest, exchange: Exchange, question: string): Promise<Opened> {
      const { attachments } = request
      const userMessageId = app.ids.ordered()
      // What a message names is there before it.
      const opening = attachments?.open() ?? Promise.resolve([])
      const begun = opening.then(() =>
        app.history.begin({
          session: request.session ?? undefined,
          sessionId: exchange.sessionId,
          userId: exchange.userId,
          chatflowId: exchange.chatflow.id,
          messageId: userMessageId,
          question,
          ...(attachments ? { fileIds: attachments.rows.map(({ id }) => id) } : {}),
          upstream: nextUpstreamIds(request.session, app.ids.uuid),
          isNamed: request.prediction?.sessionId !== undefined,
          now: app.clock.now()
        })
      )
      keepHistory(exchange, begun, userMessageId)
      const stored = await begun.catch((error: unknown) => giveUp(exchange, error))
      const session =
        stored?.session ?? (await giveUp(exchange, new AppError('session_busy', { retryAfterSeconds: 1 })))
      await attachments?.keep().catch((cause: unknown) => {
        exchange.end({ ending: 'failed_before_output', code: 'store_unavailable', cause, isClean: true })
      })
      return { session, files: await opening }
    }

    /** Flowise never answers a streamed call of a flow it does not know, so it is asked about the flow first. */
    async function canStream(exchange: Exchange): Promise<boolean> {
      try {
        const eligibility = await app.flowise.isStreaming(exchange.chatflow.id)
        if (eligibility === 'not_found') throw new AppError('chatflow_not_found')
        return eligibility !== 'no'
      } catch (error) {
        const code = error instanceof AppError ? error.code : 'internal_error'
        exchange.end({ ending: 'failed_before_output', code, cause: error, isClean: true })
        return false
      }
    }

    async function giveUp(exchange: Exchange, error: unknown): Promise<never> {
      exchange.end({ ending: 'refused', isClean: true })
      await exchange.concluded
      throw error
    }

    /** Before the question is stored: a session must not be free again while that write is under way. */
    function keepHistory(exchange: Exchange, begun: ReturnType<History['begin']>, userMessageId: string): void {
      const started = begun.then(
        (done) => done?.session,
        () => undefined
      )
      const keeper = createKeeper({
        async storePart(part) {
          const session = await started
          if (session) await app.history.answerSoFar({ ...answerOf(exchange), session, part })
        },
        isInOrder: app.store.commitsInOrder
      })
      exchange.kept = keeper
      exchange.whenEnded(async function storeAnswer(outcome) {
        const session = await started
        const store = async () => {
          if (session) await persist(app.clock, () => write(exchange, outcome, session, userMessageId))
        }
        // The answer has been delivered: storing it is repeated in the background, and the client does not wait.
        await keeper.finish(store, (error) => {
          app.log.error({ err: error, request_id: exchange.requestId }, 'answer not stored yet')
          const later = repeat(store, error, { clock: app.clock, pausesMs: HISTORY_RETRIES_MS })
          app.lifecycle.run(later)
          return later
        })
      })
    }

    /** False when the session was deleted meanwhile. */
    async function write(exchange: Exchange, outcome: Outcome, session: SessionRow, userMessageId: string) {
      const { transcript } = exchange
      const { isClean, ending, code } = outcome
      const hasAnswer =
        transcript.hasOutput || transcript.text !== '' || transcript.data !== undefined || transcript.isDataOmitted
      const status = ending === 'completed' ? 'complete' : 'incomplete'
      const upstreamId = transcript.chatMessageId ?? outcome.answer?.chatMessageId
      if (hasAnswer || ending === 'completed')
        return app.history.answer({ ...answerOf(exchange), session, status, isClean, code, upstreamId })
      await app.history.failed({ session, userMessageId, isClean })
      return true
    }

    /** What has been delivered, as an answer that is not complete. */
    function answerOf({ transcript, messageId }: Exchange) {
      const { text, data, isDataOmitted, isTruncated } = transcript
      return {
        messageId,
        text,
        status: 'incomplete' as const,
        ...(data ? { data } : {}),
        ...(isDataOmitted ? { dataOmitted: true } : {}),
        ...(isTruncated ? { truncated: true } : {}),
        now: app.clock.now()
      }
    }

    function observe(exchange: Exchange, { ending, code, cause, firstAnswerAt }: Outcome): void {
      const { kind, transcript, startedAt } = exchange
      app.metrics.predictionEnded({
        kind,
        ending,
        seconds: (app.clock.now() - startedAt) / 1000,
        ...(firstAnswerAt === undefined ? {} : { firstEventSeconds: (firstAnswerAt - startedAt) / 1000 }),
        ...(transcript.usage === undefined ? {} : { usage: transcript.usage })
      })
      if (code === undefined) return
      app.metrics.upstreamFailed(code)
      app.log.warn(
        { request_id: exchange.requestId, ending, err: new AppError(code, {}, { cause }) },
        'prediction failed'
      )
    }
  },
  {
    name: 'prediction',
    dependencies: ['exchange', 'attachments', 'credits', 'history', 'flowise', 'metrics', 'lifecycle']
  }
)

async function concluded(exchange: Exchange): Promise<Outcome> {
  const outcome = await exchange.ended
  await exchange.concluded
  return outcome
}
