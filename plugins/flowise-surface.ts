import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { reduceWidgetConfig } from '../src/chatflows/widget-config.ts'
import { flowiseFailure } from '../src/flowise/dialect.ts'
import { createRemembered } from '../src/flowise/remembered.ts'
import { sentenceOf } from '../src/flowise/sentences.ts'
import { FlowiseError, failureBody, failureFormOf, withoutAmounts } from '../src/flowise/failure-form.ts'
import { FLOWISE_SSE_HEADERS } from './flowise-answers.ts'
import { logFailure, prepareProblem, toAppError } from './problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Error handler of the routes that Flowise has too: in the form which the client behind the request can show. */
    sendFlowiseError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply
    /** What the widget may know of a chatflow's configuration, as Flowise had it at most a minute ago. @throws chatflow_not_found and the upstream codes */
    widgetConfig(chatflowId: string): Promise<Record<string, unknown>>
  }
}

/** Configurations are small, unless somebody put pictures into them; those are asked for each time. */
const REMEMBERED = { ttlMs: 60_000, maxEntries: 500, maxCharacters: 65_536 }

/** Flowise's own paths, for clients made for it: how a failure looks there, and what they ask before they begin. @see docs/adr/0018-errors-on-flowises-path.md */
export default fp(
  async function flowiseSurface(app: FastifyInstance) {
    app.addSchema(FlowiseError)
    const { ttlMs, maxEntries, maxCharacters } = REMEMBERED
    app.decorate(
      'widgetConfig',
      createRemembered({
        clock: app.clock,
        ttlMs,
        maxEntries,
        lookup: async (chatflowId) => reduceWidgetConfig(await app.flowise.chatbotConfig(chatflowId)),
        isKept: (config) => JSON.stringify(config).length <= maxCharacters
      })
    )

    app.decorate('sendFlowiseError', function sendFlowiseError(thrown, request, reply) {
      const failure = toAppError(thrown)
      logFailure(failure, request)
      const sentence = sentenceOf(failure)
      const error = request.identity?.key?.kind === 'embed_token' ? withoutAmounts(failure) : failure
      const problem = prepareProblem(error, request, reply)
      const status = reply.statusCode
      reply.header('x-gateway-code', error.code)
      const form = failureFormOf(status, { accept: request.headers.accept, body: request.body })
      if (form === 'problem') return reply.send(problem)
      if (form === 'text') return reply.type('text/plain; charset=utf-8').send(sentence)
      if (form === 'stream') return reply.code(200).headers(FLOWISE_SSE_HEADERS).send(flowiseFailure(sentence))
      const body = failureBody(error, { status, sentence, requestId: request.id })
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
    })
  },
  { name: 'flowise-surface', dependencies: ['problem', 'auth', 'flowise', 'flowise-answers'] }
)
