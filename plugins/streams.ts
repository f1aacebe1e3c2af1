import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { gatewayFrame } from '../src/flowise/dialect.ts'
import { createFrame } from '../src/flowise/frame.ts'
import { createLiveStreams, type LiveStreams } from '../src/streams/live.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What clients that come back can follow in this process. */
    liveStreams: LiveStreams
  }
}

/** The streams that can be followed: while they run, and for some time after. */
export default fp(
  async function streams(app: FastifyInstance) {
    const live = createLiveStreams({
      clock: app.clock,
      tokenFrame: (id, text) => gatewayFrame(id, 'token', createFrame('token', text).json),
      maxBytes: app.config.resume.bufferBytes
    })
    app.decorate('liveStreams', live)
  },
  { name: 'streams', dependencies: ['configuration'] }
)
