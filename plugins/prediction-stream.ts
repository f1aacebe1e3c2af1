import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Silence } from '../src/event-body.ts'
import type { Answer } from '../src/flowise/answer.ts'
import { createStreamWriter, type WriterOptions } from '../src/flowise/writer.ts'

/** A streamed prediction that has ended, but for its closing frames. */
export interface EndedStream {
  /** False if no event arrived: then the reply may still be anything. */
  readonly isOpen: boolean
  /** The answer of a flow that replied in one piece although it was asked to stream. */
  readonly answer: Answer | undefined
  /** Opens the stream if nothing did, and writes last what `frames` makes then. */
  close(frames: () => string): void
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Runs the request's prediction and writes its events as they arrive. Resolves when all but the closing is written. */
    streamPrediction(request: FastifyRequest, options: WriterOptions): Promise<EndedStream>
  }
}

/** The common half of both kinds of streams: events out as they come in, at the speed of the client. */
export default fp(
  async function predictionStream(app: FastifyInstance) {
    const silence: Silence = { clock: app.clock, pingMs: app.config.pingMs, onPing: app.metrics.pingSent }

    app.decorate('streamPrediction', async function streamPrediction(request, options) {
      const writer = createStreamWriter(options, silence)
      const { concluded } = await app.startPrediction(request, writer)
      const { answer } = await concluded
      return { isOpen: writer.isOpen, answer, close: (frames) => writer.close(frames) }
    })
  },
  { name: 'prediction-stream', dependencies: ['prediction', 'metrics'] }
)
