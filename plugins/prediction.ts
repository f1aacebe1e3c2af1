import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import type { Exchange, Outcome } from '../src/flowise/exchange.ts'
import { buildPredictionBody } from '../src/flowise/prediction.ts'
import { DEFAULT_RESPONSE_FIELDS } from '../src/flowise/redaction.ts'
import { type RunOutput, startRun } from '../src/flowise/run.ts'
import { nextUpstreamIds } from '../src/flowise/upstream-ids.ts'
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

const HISTORY_RETRIES_MS = [200, 1000, 5000, 15_000]

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
      const { session, userMessageId } = await open(request, exchange, asked.question)
      keepHistory(exchange, session, userMessageId)
      const streaming = asked.wantsStream && (await canStream(exchange))
      if (exchange.outcome) return { concluded: concluded(exchange), resume() {} }
      const { resume } = startRun({
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
        files: asked.files,
        chatId: session.upstream.chatId,
        clientAddress: request.ip,
        fields: exchange.chatflow.responseFields ?? DEFAULT_RESPONSE_FIELDS,
        ...(output ? { output } : {}),
        track: (work) => void app.lifecycle.track(work)
      })
      return { concluded: concluded(exchange), resume }
    })

    /** Stores the session and the question; a store that fails now ends the prediction before Flowise hears of it. */
    async function open(request: FastifyRequest, exchange: Exchange, question: string) {
      const userMessageId = app.ids.uuid()
      const upstream = nextUpstreamIds(request.session, app.ids.uuid)
      const begun = await app.history
        .begin({
          session: request.session ?? undefined,
          sessionId: exchange.sessionId,
          userId: exchange.userId,
          chatflowId: exchange.chatflow.id,
          messageId: userMessageId,
          question,
          upstream,
          now: app.clock.now()
        })
        .catch((error: unknown) => giveUp(exchange, error))
      if (!begun) return giveUp(exchange, new AppError('session_busy', { retryAfterSeconds: 1 }))
      return { session: begun.session, userMessageId }
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

    function keepHistory(exchange: Exchange, session: SessionRow, userMessageId: string): void {
      exchange.whenEnded(async function store(outcome) {
        const first = write(exchange, outcome, session, userMessageId)
        // The answer has been delivered: storing it is repeated in the background, and the client does not wait.
        await first.catch((error: unknown) => {
          app.log.error({ err: error, reqId: exchange.requestId }, 'answer not stored yet')
          app.lifecycle.run(writeLater(() => write(exchange, outcome, session, userMessageId), error))
        })
      })
    }

    async function write(exchange: Exchange, outcome: Outcome, session: SessionRow, userMessageId: string) {
      const { transcript, messageId } = exchange
      const { isClean, ending } = outcome
      const hasAnswer = transcript.text !== '' || transcript.data !== undefined || transcript.isDataOmitted
      if (!hasAnswer && ending !== 'completed') return app.history.failed({ session, userMessageId, isClean })
      await app.history.answer({
        session,
        messageId,
        text: transcript.text,
        status: ending === 'completed' ? 'complete' : 'incomplete',
        ...(transcript.data ? { data: transcript.data } : {}),
        ...(transcript.isDataOmitted ? { dataOmitted: true } : {}),
        ...(transcript.isTruncated ? { truncated: true } : {}),
        isClean,
        now: app.clock.now()
      })
    }

    async function writeLater(work: () => Promise<void>, error: unknown): Promise<void> {
      let last = error
      for (const delayMs of HISTORY_RETRIES_MS) {
        await new Promise<void>((resolve) => app.clock.after(delayMs, resolve))
        try {
          return await work()
        } catch (again) {
          last = again
        }
      }
      throw last
    }

    function observe(exchange: Exchange, { ending, code, cause }: Outcome): void {
      const { kind, transcript, startedAt } = exchange
      app.metrics.predictionEnded({
        kind,
        ending,
        seconds: (app.clock.now() - startedAt) / 1000,
        ...(transcript.usageTokens === undefined ? {} : { tokens: transcript.usageTokens })
      })
      if (code === undefined) return
      app.metrics.upstreamFailed(code)
      app.log.warn({ reqId: exchange.requestId, ending, code, err: cause }, 'prediction failed')
    }
  },
  { name: 'prediction', dependencies: ['exchange', 'credits', 'history', 'flowise', 'metrics', 'lifecycle'] }
)

async function concluded(exchange: Exchange): Promise<Outcome> {
  const outcome = await exchange.ended
  await exchange.concluded
  return outcome
}
