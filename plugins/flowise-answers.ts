import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import { createFlowiseDialect } from '../src/flowise/dialect.ts'
import { createFrame } from '../src/flowise/frame.ts'
import { type FlowiseCaller, flowiseReply, type PredictionResult } from '../src/flowise/result.ts'
import { closing, delivered, SSE_HEADERS, startEvents } from './answers.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Runs the request's prediction, or replays it, and answers as Flowise would. */
    answerFlowise(request: FastifyRequest, reply: FastifyReply): Promise<void>
  }
}

/** As Flowise labels its streams: its clients compare the whole value. */
export const FLOWISE_SSE_HEADERS = { ...SSE_HEADERS, 'content-type': 'text/event-stream' }

/** Predictions for clients made for Flowise: its JSON and its framing, with their ids instead of Flowise's. */
export default fp(
  async function flowiseAnswers(app: FastifyInstance) {
    app.decorate('answerFlowise', async function answerFlowise(request, reply) {
      // A visitor of somebody's page is not told what its owner pays and has.
      const isStranger = request.identity?.key?.kind === 'embed_token'
      const { exchange } = request
      const chatId = request.prediction?.clientChatId ?? (exchange ? newChatId(exchange, isStranger) : '')
      const client = { chatId, isStranger }
      if (request.replay !== null) return replay(request, reply, client)
      if (request.prediction?.wantsStream) return stream(request, reply, client)
      await (await app.startPrediction(request)).concluded
      sendJson(reply, flowiseReply(delivered(app.conclude(request, 'flowiseResult')), client))
    })

    async function stream(request: FastifyRequest, reply: FastifyReply, client: FlowiseCaller): Promise<void> {
      const { exchange } = request
      if (!exchange) throw new AppError('internal_error')
      const dialect = createFlowiseDialect(() => metadataOf(request, client), client)
      const { writer, concluded } = await app.streamPrediction(request, {
        dialect,
        writable: reply.raw,
        filter: exchange.redaction.flowiseEvent,
        onOpen: () => startEvents(reply, FLOWISE_SSE_HEADERS)
      })
      const { answer } = await concluded
      const result = app.conclude(request, 'flowiseResult')
      const receipt = await app.receiptEvent(request)
      // A flow that cannot stream answers in one piece, as Flowise does.
      if (answer) return sendJson(reply, flowiseReply(delivered(result), client))
      if (!writer.isOpen && result.code) throw new AppError(result.code)
      writer.close(() => closing(dialect, result, receipt))
    }

    function replay(request: FastifyRequest, reply: FastifyReply, { chatId, isStranger }: FlowiseCaller): void {
      const result = app.replayed(request)
      const client = { chatId: chatId === '' ? newChatId(result, isStranger) : chatId, isStranger }
      if (!request.prediction?.wantsStream) return sendJson(reply, flowiseReply(delivered(result), client))
      void reply.headers(FLOWISE_SSE_HEADERS).send(storedStream(result, client))
    }

    function metadataOf({ exchange }: FastifyRequest, { chatId }: FlowiseCaller): Record<string, unknown> {
      const metadata = exchange?.redaction.flowiseMetadata(exchange.transcript.metadata ?? {})
      return { chatId, chatMessageId: exchange?.messageId, ...metadata, sessionId: chatId }
    }
  },
  { name: 'flowise-answers', dependencies: ['answers', 'prediction-stream'] }
)

/** What a client that has not named its chat is to call it: the sessions of visitors are told to nobody. */
function newChatId(
  { sessionId, messageId }: Pick<PredictionResult, 'sessionId' | 'messageId'>,
  isStranger: boolean
): string {
  return isStranger ? messageId : sessionId
}

function sendJson(reply: FastifyReply, body: unknown): void {
  void reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
}

function storedStream(result: PredictionResult, client: FlowiseCaller): string {
  if (result.code && result.text === '') throw new AppError(result.code)
  const { chatId } = client
  const metadata = { chatId, sessionId: chatId, chatMessageId: result.messageId }
  const dialect = createFlowiseDialect(() => metadata, client)
  const frames = [createFrame('start', ''), createFrame('token', result.text)].map(({ event, json }) =>
    dialect.event(event, json)
  )
  return frames.join('') + closing(dialect, result)
}
