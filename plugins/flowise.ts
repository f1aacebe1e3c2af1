import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createFlowiseClient, type FlowiseClient } from '../src/flowise/client.ts'

declare module 'fastify' {
  interface FastifyInstance {
    flowise: FlowiseClient
  }
}

/** The one client of Flowise; everything that leaves for it goes through here. */
export default fp(
  async function flowise(app: FastifyInstance) {
    const { apiKey, firstByteTimeoutMs, maxAnswerBytes } = app.config.flowise
    const client = createFlowiseClient({
      baseUrl: app.parts.flowiseUrl,
      ...(apiKey === undefined ? {} : { apiKey }),
      clock: app.clock,
      firstByteTimeoutMs,
      maxAnswerBytes
    })
    app.decorate('flowise', client)
    app.addHook('onClose', async function closeFlowise() {
      await client.close()
    })
  },
  { name: 'flowise', dependencies: ['configuration'] }
)
