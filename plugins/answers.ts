import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import { answerFrames } from '../src/flowise/answer.ts'
import { createGatewayDialect, type Dialect } from '../src/flowise/dialect.ts'
import { createFrame } from '../src/flowise/frame.ts'
import {
  gatewayReply,
  type PredictionResult,
  readStoredResult,
  receiptView,
  type ResultForm,
  resultOf
} from '../src/flowise/result.ts'
import { REPLAYED_FROM } from '../src/flowise/stored-stream.ts'
import { redactionFor, streamPath } from './exchange.ts'
import { statusOf } from './problem.ts'
import { RECEIPT_EVENT } from './usage.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Runs the request's prediction, or replays it, and answers in one piece. */
    answerJson(request: FastifyRequest): Promise<ReturnType<typeof gatewayReply>>
    /** Runs the request's prediction, or replays it, and answers as server-sent events. */
    answerStream(request: FastifyRequest, reply: FastifyReply): Promise<void>
    /** The result of the request's ended prediction, stored under its idempotency key. @throws what the client is told */
    conclude(request: FastifyRequest, only?: ResultForm): PredictionResult
    /** The stored result an idempotency key asks for. @throws upstream_incomplete if the run died before it had one */
    replayed(request: FastifyRequest): PredictionResult
  }
}

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
} as const

/** How a prediction leaves the gateway on /chat/predict: one JSON reply, or a stream that starts with the first event. */
export default fp(
  async function answers(app: FastifyInstance) {
    app.decorate('conclude', function conclude(request, only) {
      const { exchange } = request
      if (!exchange?.outcome) throw new AppError('internal_error')
      return resultOf(exchange, exchange.outcome, exchange.redaction, only)
    })

    app.decorate('replayed', function replayed(request) {
      const result = readStoredResult(request.replay, redactionFor(request, ''))
      if (!result) throw new AppError('upstream_incomplete', {}, { cause: new Error('the run died before its end') })
      return result
    })

    app.decorate('answerJson', async function answerJson(request) {
      if (request.replay !== null) return gatewayReply(delivered(app.replayed(request)))
      await (await app.startPrediction(request)).concluded
      return gatewayReply(delivered(app.conclude(request, 'result')))
    })

    app.decorate('answerStream', async function answerStream(request, reply) {
      if (request.replay !== null) return replayStream(request, reply)
      const { exchange, liveStream } = request
      if (!exchange) throw new AppError('internal_error')
      const files = request.attachments?.rows
      const dialect = createGatewayDialect({ ...exchange, chatflowId: exchange.chatflow.id, files })
      const { redaction } = exchange
      const { writer, concluded } = await app.streamPrediction(request, {
        dialect,
        writable: reply.raw,
        filter: redaction.event,
        record: liveStream ?? undefined,
        onOpen() {
          if (liveStream) reply.header('content-location', streamPath(exchange.messageId))
          startEvents(reply)
        }
      })
      const { answer } = await concluded
      const result = app.conclude(request, 'result')
      if (!writer.isOpen && result.code) {
        liveStream?.refuse(result.code)
        throw new AppError(result.code)
      }
      // The fields of an answer in one piece have their own list, which has been applied.
      const frames = answer ? answerFrames(answer, result.result) : []
      const receipt = await app.receiptEvent(request)
      writer.close(
        () => frames.map(({ event, json }) => dialect.event(event, json)).join('') + closing(dialect, result, receipt)
      )
    })

    function replayStream(request: FastifyRequest, reply: FastifyReply): void {
      const result = app.replayed(request)
      if (result.code && result.text === '') throw new AppError(result.code)
      const dialect = createGatewayDialect({ ...result, requestId: request.id }, REPLAYED_FROM)
      // In the order in which they are numbered.
      const opening = dialect.open()
      const token = result.text === '' ? '' : dialect.event('token', createFrame('token', result.text).json)
      void reply.headers(SSE_HEADERS).send(opening + token + closing(dialect, result))
    }
  },
  { name: 'answers', dependencies: ['prediction', 'prediction-stream', 'problem', 'usage'] }
)

/** Makes the head of a stream of events; from now on the reply is written to directly. */
export function startEvents(reply: FastifyReply, headers: OutgoingHttpHeaders = SSE_HEADERS): void {
  reply.hijack()
  // A run that goes on without its client begins like any other.
  if (reply.raw.destroyed) return
  reply.raw.writeHead(200, { ...(reply.getHeaders() as OutgoingHttpHeaders), ...headers })
}

/** @throws the error of a prediction that has no answer to give in one piece */
export function delivered(result: PredictionResult): PredictionResult {
  if (result.ending !== 'completed') throw new AppError(result.code ?? 'upstream_incomplete')
  return result
}

/** The last frames of a stream; `receiptEvent` is the one that was asked for. */
export function closing(dialect: Dialect, result: PredictionResult, receiptEvent?: string): string {
  const told = receiptEvent === undefined ? '' : dialect.event(RECEIPT_EVENT, receiptEvent)
  return told + ending(dialect, result)
}

function ending(dialect: Dialect, result: PredictionResult): string {
  const receipt = receiptView(result)
  if (result.code) return dialect.fail({ code: result.code, status: statusOf(result.code) }, receipt)
  if (result.ending !== 'completed') return dialect.stop(receipt)
  return dialect.succeed(receipt, result.followUpPrompts)
}
