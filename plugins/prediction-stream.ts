import type { Writable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Answer } from '../src/flowise/answer.ts'
import type { Dialect } from '../src/flowise/dialect.ts'
import type { Frame } from '../src/flowise/frame.ts'
import type { PublicEvent } from '../src/flowise/redaction.ts'
import { createStreamWriter, type Recorder } from '../src/flowise/writer.ts'

export interface StreamOptions {
  dialect: Dialect
  /** Where the bytes go. */
  writable: Writable
  /** What of an event the client may see. */
  filter: (frame: Frame) => PublicEvent | undefined
  /** Called at the first event, before the first byte. */
  onOpen: () => void
  /** Hears all that is written, also when the client has gone. */
  record?: Recorder | undefined
}

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
    streamPrediction(request: FastifyRequest, options: StreamOptions): Promise<EndedStream>
  }
}

/** The common half of both kinds of streams: events out as they come in, at the speed of the client. */
export default fp(
  async function predictionStream(app: FastifyInstance) {
    app.decorate('streamPrediction', async function streamPrediction(request, options) {
      let resume = () => {}
      const writer = createStreamWriter({
        ...options,
        clock: app.clock,
        pingMs: app.config.pingMs,
        onDrain: () => resume(),
        onPing: app.metrics.pingSent
      })
      const running = await app.startPrediction(request, writer)
      resume = running.resume
      const { answer } = await running.concluded
      return { isOpen: writer.isOpen, answer, close: writer.close }
    })
  },
  { name: 'prediction-stream', dependencies: ['prediction', 'metrics'] }
)
