import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Check, createReadiness } from '../src/readiness.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readiness: () => Promise<{ isReady: boolean; checks: Record<'store' | 'flowise', Check> }>
  }
}

/** Whether this process should get traffic. */
export default fp(
  async function readiness(app: FastifyInstance) {
    const ask = createReadiness({
      clock: app.clock,
      probes: { store: () => app.store.ping(), flowise: () => app.flowise.ping() }
    })
    app.decorate('readiness', async function askReadiness() {
      const checks = await ask()
      const isReady = !app.lifecycle.isDraining && Object.values(checks).every((check) => check === 'ok')
      return { isReady, checks }
    })
  },
  { name: 'readiness', dependencies: ['configuration', 'lifecycle', 'store', 'flowise'] }
)
