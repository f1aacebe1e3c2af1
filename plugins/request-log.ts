import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** The status, which nobody saw, of a request that ended before its reply began; other proxies write the same number. */
const NO_REPLY = 499

/** One log line and one observation per request, whichever way it ended. */
export default fp(
  async function requestLog(app: FastifyInstance) {
    // What it tells holds no secret, so nothing is looked for in it; what others log is looked through as ever.
    const log = app.log.child({}, { redact: [] })
    app.addHook('onRequest', function followRequest(request, reply, done) {
      // onResponse stays silent when a client leaves a stream; this fires exactly once.
      reply.whenClosed(() => {
        const { method, id, identity } = request
        const { headersSent, statusCode, writableFinished } = reply.raw
        // The pattern and not the address: that one may carry ids and whatever a client wrote into it.
        const route = request.routeOptions.url ?? 'unmatched'
        const status = headersSent ? statusCode : NO_REPLY
        const ms = reply.elapsedTime
        app.metrics.requestEnded({ method, route, status, seconds: ms / 1000 })
        log.info(
          {
            request_id: id,
            method,
            route,
            status,
            ms: Math.round(ms * 10) / 10,
            key: identity?.key?.keyId,
            isAborted: writableFinished ? undefined : true
          },
          'request completed'
        )
      })
      done()
    })
  },
  { name: 'request-log', dependencies: ['metrics', 'request-context'] }
)
