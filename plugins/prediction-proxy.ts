import { PassThrough, Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import { createFlowiseDialect } from '../src/flowise/dialect.ts'
import { createFrame } from '../src/flowise/frame.ts'
import { type FlowiseCaller, flowiseReply, type PredictionResult } from '../src/flowise/result.ts'
import { closing, delivered, SSE_HEADERS } from './answers.ts'

/** A reply on Flowise's own path, as @fastify/http-proxy takes it from its transport. */
export interface ProxyReply {
  statusCode: number
  headers: Record<string, string>
  body: Readable
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Runs the request's prediction and answers as Flowise would. Resolves with the head, at the first event. */
    proxyPrediction(request: FastifyRequest): Promise<ProxyReply>
  }
}

/** As Flowise labels its streams: its clients compare the whole value. */
export const FLOWISE_SSE_HEADERS = { ...SSE_HEADERS, 'content-type': 'text/event-stream' }

/** Predictions for clients made for Flowise: its JSON and its framing, with their ids instead of Flowise's. */
export default fp(
  async function predictionProxy(app: FastifyInstance) {
    app.decorate('proxyPrediction', async function proxyPrediction(request) {
      // A visitor of somebody's page is not told what its owner pays and has.
      const isStranger = request.identity?.key?.kind === 'embed_token'
      const { exchange } = request
      const chatId = request.prediction?.clientChatId ?? (exchange ? newChatId(exchange, isStranger) : '')
      const client = { chatId, isStranger }
      if (request.replay !== null) return replayed(request, client)
      if (!request.prediction?.wantsStream) {
        await (await app.startPrediction(request)).concluded
        return jsonReply(flowiseReply(delivered(app.conclude(request)), client))
      }
      return stream(request, client)
    })

    async function stream(request: FastifyRequest, client: FlowiseCaller): Promise<ProxyReply> {
      const { exchange } = request
      if (!exchange) throw new AppError('internal_error')
      const head = Promise.withResolvers<ProxyReply>()
      const body = new PassThrough()
      const dialect = createFlowiseDialect(() => metadataOf(request, client), client)
      const running = app.streamPrediction(request, {
        dialect,
        writable: body,
        filter: exchange.redaction.flowiseEvent,
        onOpen: () => head.resolve({ statusCode: 200, headers: FLOWISE_SSE_HEADERS, body })
      })
      running
        .then(async ({ isOpen, answer, close }) => {
          const result = app.conclude(request)
          const receipt = await app.receiptEvent(request)
          // A flow that cannot stream answers in one piece, as Flowise does.
          if (answer) head.resolve(jsonReply(flowiseReply(delivered(result), client)))
          else if (!isOpen && result.code) throw new AppError(result.code)
          else close(() => closing(dialect, result, receipt))
        })
        .catch((error: unknown) => {
          head.reject(error)
          body.destroy()
        })
      return head.promise
    }

    function replayed(request: FastifyRequest, { chatId, isStranger }: FlowiseCaller): ProxyReply {
      const result = app.replayed(request)
      const client = { chatId: chatId === '' ? newChatId(result, isStranger) : chatId, isStranger }
      if (request.prediction?.wantsStream) return storedStream(result, client)
      return jsonReply(flowiseReply(delivered(result), client))
    }

    function metadataOf({ exchange }: FastifyRequest, { chatId }: FlowiseCaller): Record<string, unknown> {
      const metadata = exchange?.redaction.flowiseMetadata(exchange.transcript.metadata ?? {})
      return { chatId, chatMessageId: exchange?.messageId, ...metadata, sessionId: chatId }
    }
  },
  { name: 'prediction-proxy', dependencies: ['answers', 'prediction-stream'] }
)

/** What a client that has not named its chat is to call it: the sessions of visitors are told to nobody. */
function newChatId(
  { sessionId, messageId }: Pick<PredictionResult, 'sessionId' | 'messageId'>,
  isStranger: boolean
): string {
  return isStranger ? messageId : sessionId
}

function jsonReply(body: unknown): ProxyReply {
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: Readable.from([JSON.stringify(body)])
  }
}

function storedStream(result: PredictionResult, client: FlowiseCaller): ProxyReply {
  if (result.code && result.text === '') throw new AppError(result.code)
  const { chatId } = client
  const metadata = { chatId, sessionId: chatId, chatMessageId: result.messageId }
  const dialect = createFlowiseDialect(() => metadata, client)
  const frames = [createFrame('start', ''), createFrame('token', result.text)].map(({ event, json }) =>
    dialect.event(event, json)
  )
  return {
    statusCode: 200,
    headers: FLOWISE_SSE_HEADERS,
    body: Readable.from([frames.join('') + closing(dialect, result)])
  }
}
