import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyReply {
    /** Written by whenClosed alone. */
    closeListeners: (() => void)[] | null
    /**
     * Calls back once, when the reply has been sent or nobody is there to read it any more, however it ended;
     * `raw.writableFinished` tells which. In a later turn if that is past.
     */
    whenClosed(listener: () => void): void
  }
}

const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/
/** Log, limits, credits and streams each watch the end of a reply: more than Node takes for a leak by itself. */
const MAX_LISTENERS = 20
/** Of a reply that is closed. */
const NOBODY: (() => void)[] = Object.freeze([]) as never

/** The client's X-Request-Id when it is well-formed, else a fresh one. */
export function requestIdOf(request: IncomingMessage, fresh: () => string): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && CLIENT_ID.test(given) ? given : fresh()
}

/** Puts the request id on every response, also on those that answer before a route is found; and says when it is over. */
export default fp(
  async function requestContext(app: FastifyInstance) {
    app.decorateReply('closeListeners', null)
    app.decorateReply('whenClosed', function whenClosed(listener) {
      const { closeListeners, raw } = this
      if (closeListeners === NOBODY || raw.closed) process.nextTick(listener)
      else if (closeListeners) closeListeners.push(listener)
      else {
        this.closeListeners = [listener]
        // Node emits it once for every way a response can end, and has no cheaper way to hear of it.
        raw.on('close', () => close(this))
      }
    })
    app.addHook('onRequest', function showRequestId(request, reply, done) {
      reply.header('x-request-id', request.id)
      reply.raw.setMaxListeners(MAX_LISTENERS)
      done()
    })
  },
  { name: 'request-context' }
)

function close(reply: FastifyReply): void {
  const listeners = reply.closeListeners ?? NOBODY
  reply.closeListeners = NOBODY
  for (const listener of listeners) listener()
}
