import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** The status, which nobody saw, of a request that ended before its reply began; other proxies write the same number. */
const NO_REPLY = 499

/** One log line and one observation per request, whichever way it ended. */
export default fp(
  async function requestLog(app: FastifyInstance) {
    app.addHook('onRequest', function followRequest(request, reply, done) {
      // onResponse stays silent when a client leaves a stream; this fires exactly once.
      reply.whenClosed(() => {
        const { method } = request
        // The pattern and not the address: that one may carry ids and whatever a client wrote into it.
        const route = request.routeOptions.url ?? 'unmatched'
        const status = reply.raw.headersSent ? reply.raw.statusCode : NO_REPLY
        const isAborted = !reply.raw.writableFinished
        const key = request.identity?.key?.keyId
        app.metrics.requestEnded({ method, route, status, seconds: reply.elapsedTime / 1000 })
        request.log.info(
          {
            method,
            route,
            status,
            ms: Math.round(reply.elapsedTime * 10) / 10,
            ...(key === undefined ? {} : { key }),
            ...(isAborted ? { isAborted } : {})
          },
          'request completed'
        )
      })
      done()
    })
  },
  { name: 'request-log', dependencies: ['metrics', 'request-context'] }
)
