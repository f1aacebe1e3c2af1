import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AppError, catalogue, type ErrorCode } from '../src/errors.ts'
import { createFrame } from '../src/flowise/frame.ts'
import { type PredictionResult, receiptView } from '../src/flowise/result.ts'
import { completionReply, createOpenAiDialect, usageOf } from '../src/openai/dialect.ts'
import { isRepeatHarmful, openAiError } from '../src/openai/errors.ts'
import { type CompletionReply, OpenAiError } from '../src/openai/schemas.ts'
import { closing, delivered, SSE_HEADERS, startEvents } from './answers.ts'
import { logFailure, prepareProblem, toAppError } from './problem.ts'

/** How an answer is wanted, as far as it is no part of the prediction. */
export interface CompletionForm {
  /** As it was asked for. */
  model: string
  includeUsage: boolean
}

interface AnswerForm extends CompletionForm {
  sessionId: string
  messageId: string
  /** Asked at the end. */
  tokens: () => Parameters<typeof usageOf>[0]
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Runs the request's prediction, or replays it, and answers as a chat completion in one piece. */
    completeJson(request: FastifyRequest, form: CompletionForm): Promise<CompletionReply>
    /** Runs the request's prediction, or replays it, and answers with chunks of a chat completion. */
    completeStream(request: FastifyRequest, reply: FastifyReply, form: CompletionForm): Promise<void>
    /** Answers an error as clients made for OpenAI read it. */
    sendOpenAiError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply
  }
}

const BAD_REQUEST = 400

/** Everything below /v1: completions in OpenAI's form, and its form of errors, where there is no route as well. */
export default fp(
  async function openai(app: FastifyInstance) {
    app.addSchema(OpenAiError)

    app.decorate('completeJson', async function completeJson(request, { model }) {
      if (request.replay !== null) return replyOf(delivered(app.replayed(request)))
      await (await app.startPrediction(request)).concluded
      return replyOf(delivered(app.conclude(request, 'result')))

      function replyOf(result: PredictionResult): CompletionReply {
        const ids = { ...result, model, createdAt: createdAtOf(request) }
        return completionReply(ids, { text: result.text, receipt: receiptView(result), usage: usageOf(result.usage) })
      }
    })

    app.decorate('completeStream', async function completeStream(request, reply, form) {
      if (request.replay !== null) return replayStream(request, reply, form)
      const { exchange } = request
      if (!exchange) throw new AppError('internal_error')
      const dialect = dialectOf(request, { ...form, ...exchange, tokens: () => exchange.transcript.usage })
      const { writer, concluded } = await app.streamPrediction(request, {
        dialect,
        writable: reply.raw,
        filter: (frame) => (frame.event === 'token' ? frame : undefined),
        onOpen: () => startEvents(reply)
      })
      const { answer } = await concluded
      const result = app.conclude(request, 'result')
      if (!writer.isOpen && result.code) throw new AppError(result.code)
      const text = answer ? tokenOf(dialect, result) : ''
      writer.close(() => text + closing(dialect, result))
    })

    app.decorate('sendOpenAiError', sendOpenAiError)

    await app.register(
      async function elsewhere(scope) {
        scope.setErrorHandler(sendOpenAiError)
        scope.setNotFoundHandler((request, reply) => sendOpenAiError(new AppError('not_found'), request, reply))
      },
      { prefix: '/v1' }
    )

    function dialectOf(request: FastifyRequest, about: AnswerForm) {
      const { model, includeUsage, sessionId, messageId, tokens } = about
      const usage = () => usageOf(tokens())
      return createOpenAiDialect({
        model,
        includeUsage,
        sessionId,
        messageId,
        createdAt: createdAtOf(request),
        usage,
        errorOf
      })
    }

    function replayStream(request: FastifyRequest, reply: FastifyReply, form: CompletionForm): void {
      const result = app.replayed(request)
      if (result.code && result.text === '') throw new AppError(result.code)
      const dialect = dialectOf(request, { ...form, ...result, tokens: () => result.usage })
      void reply.headers(SSE_HEADERS).send(dialect.open() + tokenOf(dialect, result) + closing(dialect, result))
    }

    function createdAtOf({ exchange }: FastifyRequest): number {
      return exchange?.startedAt ?? app.clock.now()
    }
  },
  { name: 'openai', dependencies: ['answers', 'prediction', 'prediction-stream', 'problem', 'guard'] }
)

/** Whether an address is one of those where errors have OpenAI's form, also when there is no route for it. */
export function isOpenAiUrl(url: string): boolean {
  return /^\/v1(?:[/?]|$)/.test(url)
}

/** Logs an error and answers as clients made for OpenAI read it. */
export function sendOpenAiError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toAppError(thrown)
  logFailure(error, request)
  const { detail } = JSON.parse(prepareProblem(error, request, reply))
  // OpenAI has no 422, and its clients take it for something else.
  if (error.kind === 'invalid') reply.code(BAD_REQUEST)
  const { exchange, replay = null } = request
  if (isRepeatHarmful(error, { isSent: exchange?.isSent === true, isReplay: replay !== null }))
    reply.header('x-should-retry', 'false')
  return reply.type('application/json').send(JSON.stringify(openAiError(error, detail)))
}

function tokenOf(dialect: ReturnType<typeof createOpenAiDialect>, { text }: PredictionResult): string {
  return text === '' ? '' : dialect.event('token', createFrame('token', text).json)
}

function errorOf(code: ErrorCode): object {
  return openAiError(new AppError(code), catalogue[code][1])
}
