import { finished } from 'node:stream'
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { createArrivals } from '../src/arrivals.ts'
import { chatOwnerOf, identityOf } from '../src/auth/identity.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** onRequest hook behind authenticate: what one sender, and all together, may have on the way at once. */
    limitArrivals: onRequestHookHandler
  }
}

/** In bodies of the largest size. */
const OF_EACH = 4
const OF_ALL = 16
/** Questions are smaller, and always welcome. */
const SMALL_BYTES = 65_536
/** How long a body may take whose size nobody knows before it counts as one of the largest. */
const UNANNOUNCED_MS = 2000

/** Request bodies that do not come to their end, of which a few dozens would fill the memory. */
export default fp(
  async function arrivals(app: FastifyInstance) {
    const largest = Math.max(app.config.limits.bodyBytes, app.initialConfig.bodyLimit ?? 0)
    const room = createArrivals({ eachBytes: OF_EACH * largest, allBytes: OF_ALL * largest })

    app.decorate('limitArrivals', function limitArrivals(request, reply, done) {
      const size = announced(request)
      if (size <= SMALL_BYTES) return done()
      const { raw, routeOptions } = request
      const bytes = Math.min(size, routeOptions.bodyLimit ?? 0)
      if (bytes <= SMALL_BYTES) return done()
      const { userId, visitorId } = chatOwnerOf(identityOf(request))
      const sender = JSON.stringify([userId, visitorId])
      const isKnown = request.headers['content-length'] !== undefined
      const giveBack = isKnown ? room.take(sender, bytes) : takeLater(raw, sender, bytes)
      finished(raw, { writable: false }, giveBack)
      reply.whenClosed(giveBack)
      done()
    })

    /** Nearly all that announce nothing are small, and there by then. */
    function takeLater(raw: FastifyRequest['raw'], sender: string, bytes: number): () => void {
      let giveBack = app.clock.after(UNANNOUNCED_MS, () => {
        try {
          giveBack = room.take(sender, bytes)
        } catch {
          raw.destroy()
        }
      })
      return () => giveBack()
    }
  },
  { name: 'arrivals', dependencies: ['configuration', 'auth', 'request-context'] }
)

/** Bytes, at most; HTTP/2 and chunks need not announce how many. */
function announced({ headers, method, raw }: FastifyRequest): number {
  const length = headers['content-length']
  if (length !== undefined) return Number(length)
  const mayCome = headers['transfer-encoding'] !== undefined || raw.httpVersionMajor > 1
  return mayCome && method !== 'GET' && method !== 'HEAD' ? Number.POSITIVE_INFINITY : 0
}
