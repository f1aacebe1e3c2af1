import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Check, createReadiness } from '../src/readiness.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readiness: () => Promise<{ isReady: boolean; checks: Checks }>
  }
}

/** Of Redis only where it is configured. */
type Checks = Record<'store' | 'flowise', Check> & { redis?: Check }

/** Whether this process should get traffic. */
export default fp(
  async function readiness(app: FastifyInstance) {
    const { clock, config } = app
    const probes = { store: () => app.store.ping(), flowise: () => app.flowise.ping() }
    const redis = () => app.bus.ping()
    const ask: () => Promise<Checks> =
      config.redisUrl === undefined
        ? createReadiness({ clock, probes })
        : createReadiness({ clock, probes: { ...probes, redis } })
    app.decorate('readiness', async function askReadiness() {
      const checks = await ask()
      const isReady = !app.lifecycle.isDraining && Object.values(checks).every((check) => check === 'ok')
      return { isReady, checks }
    })
  },
  { name: 'readiness', dependencies: ['configuration', 'lifecycle', 'store', 'bus', 'flowise'] }
)
