import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { flowiseFailure } from '../src/flowise/dialect.ts'
import { sentenceOf } from '../src/flowise/sentences.ts'
import { FlowiseError, failureBody, failureFormOf } from '../src/flowise/failure-form.ts'
import { FLOWISE_SSE_HEADERS } from './prediction-proxy.ts'
import { logFailure, prepareProblem, toAppError } from './problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Error handler of the routes that Flowise has too: in the form which the client behind the request can show. */
    sendFlowiseError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply
  }
}

/** Flowise's own paths, for clients made for it: how a failure looks there. @see docs/adr/0018-errors-on-flowises-path.md */
export default fp(
  async function flowiseSurface(app: FastifyInstance) {
    app.addSchema(FlowiseError)

    app.decorate('sendFlowiseError', function sendFlowiseError(thrown, request, reply) {
      const error = toAppError(thrown)
      logFailure(error, request)
      const problem = prepareProblem(error, request, reply)
      const status = reply.statusCode
      reply.header('x-gateway-code', error.code)
      const form = failureFormOf(status, { accept: request.headers.accept, body: request.body })
      if (form === 'problem') return reply.send(problem)
      if (form === 'text') return reply.type('text/plain; charset=utf-8').send(sentenceOf(error))
      if (form === 'stream')
        return reply
          .code(200)
          .headers(FLOWISE_SSE_HEADERS)
          .send(flowiseFailure(sentenceOf(error)))
      // A visitor of somebody's page is not told what its owner has.
      const withAmounts = request.identity?.key?.kind !== 'embed_token'
      const body = failureBody(error, { status, requestId: request.id, withAmounts })
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
    })
  },
  { name: 'flowise-surface', dependencies: ['problem', 'auth', 'prediction-proxy'] }
)
