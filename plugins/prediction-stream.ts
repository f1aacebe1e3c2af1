import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Silence } from '../src/event-body.ts'
import type { Outcome } from '../src/flowise/exchange.ts'
import { createStreamWriter, type StreamWriter, type WriterOptions } from '../src/flowise/writer.ts'

/** A streamed prediction that has begun. */
export interface StartedStream {
  readonly writer: StreamWriter
  /** Resolves when all but the closing is written. */
  readonly concluded: Promise<Outcome>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Runs the request's prediction and writes its events as they arrive. */
    streamPrediction(request: FastifyRequest, options: WriterOptions): Promise<StartedStream>
  }
}

/** The common half of both kinds of streams: events out as they come in, at the speed of the client. */
export default fp(
  async function predictionStream(app: FastifyInstance) {
    const silence: Silence = { clock: app.clock, pingMs: app.config.pingMs, onPing: app.metrics.pingSent }

    app.decorate('streamPrediction', async function streamPrediction(request, options) {
      const writer = createStreamWriter(options, silence)
      const { concluded } = await app.startPrediction(request, writer)
      return { writer, concluded }
    })
  },
  { name: 'prediction-stream', dependencies: ['prediction', 'metrics'] }
)
