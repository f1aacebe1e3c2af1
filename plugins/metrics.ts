import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createMetrics, type Metrics } from '../src/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
}

/** What the gateway counts; GET /metrics shows it. */
export default fp(
  async function metrics(app: FastifyInstance) {
    app.decorate('metrics', createMetrics())
  },
  { name: 'metrics' }
)
