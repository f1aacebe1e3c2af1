import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { persist } from '../src/credits/persist.ts'
import { AppError } from '../src/errors.ts'
import type { Exchange, Outcome } from '../src/flowise/exchange.ts'
import { buildPredictionBody } from '../src/flowise/prediction.ts'
import type { FilePart, PredictionRequest } from '../src/flowise/request.ts'
import { type RunOptions, type RunOutput, startRun } from '../src/flowise/run.ts'
import { nextUpstreamIds } from '../src/flowise/upstream-ids.ts'
import { createKeeper } from '../src/history/keeper.ts'
import { repeat } from '../src/repeat.ts'
import type { SessionRow } from '../src/store/collections.ts'

/** A prediction that has been sent to Flowise. */
export interface Running {
  /** Resolves with how it ended, after the money and the history are settled. */
  concluded: Promise<Outcome>
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
    const { clock } = app
    const upstreamOf = (session: SessionRow | undefined) => nextUpstreamIds(session ?? null, app.ids.uuid)

    app.decorate('startPrediction', async function startPrediction(request, output) {
      const { exchange, prediction: asked, bill } = request
      if (!exchange || !asked || !bill)
        throw new AppError('internal_error', { detail: 'startPrediction ran too early' })
      app.metrics.predictionStarted(exchange.kind)
      exchange.whenEnded(async (outcome) => observe(exchange, outcome))
      const opened = exchange.outcome ? undefined : await open(request, exchange, asked)
      const streaming = opened !== undefined && asked.wantsStream && (await canStream(exchange))
      // The client may have left at any step; what never reaches Flowise ends here.
      if (opened === undefined || exchange.outcome) return { concluded: exchange.concluded }
      const { upstream } = opened.session
      start({
        exchange,
        hold: bill.hold,
        client: app.flowise,
        clock,
        limits: app.config.flowise,
        body: buildPredictionBody({
          ...asked,
          question: asked.question === '' ? undefined : asked.question,
          chatId: upstream.chatId,
          sessionId: upstream.sessionId,
          streaming,
          overrideAllow: exchange.chatflow.overrideAllow ?? []
        }),
        files: opened.files,
        filesAs: asked.filesAs,
        chatId: upstream.chatId,
        clientAddress: request.ip,
        ...(output ? { output } : {}),
        track: (work) => void app.lifecycle.track(work)
      })
      return { concluded: exchange.concluded }
    })

    /** What cannot even be sent is a fault of the gateway, and still ends the exchange. */
    function start(options: RunOptions): void {
      try {
        startRun(options)
      } catch (error) {
        options.exchange.end({ ending: 'failed_before_output', code: 'internal_error', cause: error, isClean: true })
      }
    }

    /** Stores the files, the session and the question; a store that fails now ends the prediction before Flowise hears of it. */
    async function open(request: FastifyRequest, exchange: Exchange, asked: PredictionRequest): Promise<Opened> {
      const userMessageId = app.ids.ordered()
      const begun = begin(request, exchange, { messageId: userMessageId, asked })
      keepHistory(exchange, begun, userMessageId)
      try {
        const opened = await begun
        if (!opened) throw new AppError('session_busy', { retryAfterSeconds: 1 })
        await request.attachments?.keep().catch((cause: unknown) => {
          exchange.end({ ending: 'failed_before_output', code: 'store_unavailable', cause, isClean: true })
        })
        return opened
      } catch (error) {
        exchange.end({ ending: 'refused', isClean: true })
        await exchange.concluded
        throw error
      }
    }

    /** Undefined when somebody else has written to the session since it was read. */
    async function begin(
      { session, attachments }: FastifyRequest,
      { sessionId, userId, chatflow }: Exchange,
      { messageId, asked }: { messageId: string; asked: PredictionRequest }
    ): Promise<Opened | undefined> {
      // What a message names is there before it.
      const files = attachments ? await attachments.open() : []
      const begun = await app.history.begin({
        session: session ?? undefined,
        sessionId,
        userId,
        chatflowId: chatflow.id,
        messageId,
        question: asked.shown,
        fileIds: attachments?.rows.map(({ id }) => id),
        upstreamOf,
        isNamed: asked.sessionId !== undefined,
        now: clock.now()
      })
      return begun && { session: begun.session, files }
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

    /** Before the question is stored: a session must not be free again while that write is under way. */
    function keepHistory(exchange: Exchange, begun: Promise<Opened | undefined>, userMessageId: string): void {
      const started = begun.then((opened) => opened?.session, nothing)
      const keeper = createKeeper({
        async storePart(part) {
          const session = await started
          if (session) await app.history.answerSoFar({ ...answerOf(exchange, session), part })
        },
        isInOrder: app.store.commitsInOrder
      })
      exchange.kept = keeper
      exchange.whenEnded(async function storeAnswer(outcome) {
        const session = await started
        const store = (): Promise<unknown> =>
          session ? persist(clock, () => write(exchange, outcome, session, userMessageId)) : Promise.resolve()
        // The answer has been delivered: storing it is repeated in the background, and the client does not wait.
        await keeper.finish(store, (error) => {
          app.log.error({ err: error, request_id: exchange.requestId }, 'answer not stored yet')
          const later = repeat(store, error, { clock, pausesMs: HISTORY_RETRIES_MS })
          app.lifecycle.run(later)
          return later
        })
      })
    }

    /** False when the session was deleted meanwhile. */
    function write(exchange: Exchange, outcome: Outcome, session: SessionRow, userMessageId: string): Promise<boolean> {
      const { transcript } = exchange
      const { isClean, ending, code } = outcome
      const hasAnswer =
        transcript.hasOutput || transcript.text !== '' || transcript.data !== undefined || transcript.isDataOmitted
      const status = ending === 'completed' ? 'complete' : 'incomplete'
      const upstreamId = transcript.chatMessageId ?? outcome.answer?.chatMessageId
      if (hasAnswer || ending === 'completed')
        return app.history.answer({ ...answerOf(exchange, session), status, isClean, code, upstreamId })
      return app.history.failed({ session, userMessageId, isClean }).then(() => true)
    }

    /** What has been delivered, as an answer that is not complete. */
    function answerOf({ transcript, messageId }: Exchange, session: SessionRow) {
      const { text, data, isDataOmitted: dataOmitted, isTruncated: truncated } = transcript
      return { session, messageId, text, status: 'incomplete' as const, data, dataOmitted, truncated, now: clock.now() }
    }

    function observe(exchange: Exchange, { ending, code, cause, firstAnswerAt }: Outcome): void {
      const { kind, transcript, startedAt } = exchange
      app.metrics.predictionEnded({
        kind,
        ending,
        seconds: (clock.now() - startedAt) / 1000,
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

function nothing(): undefined {}
