import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Check, createReadiness } from '../src/readiness.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readiness: () => Promise<{ isReady: boolean; checks: Checks }>
  }
}

/** Of Redis and of the other services only where they are configured. */
type Checks = Record<'store' | 'flowise', Check> & { redis?: Check; auth?: Check; accounting?: Check }
/** Shown, and no reason to get no traffic: another process would not reach them either, and much works without. */
const SHOWN: ReadonlySet<string> = new Set(['auth', 'accounting'])

/** Whether this process should get traffic. */
export default fp(
  async function readiness(app: FastifyInstance) {
    const { clock, config } = app
    const probes = { store: () => app.store.ping(), flowise: () => app.flowise.ping() }
    const redis = config.redisUrl === undefined ? {} : { redis: () => app.bus.ping() }
    const auth = app.pingAuthService === undefined ? {} : { auth: app.pingAuthService }
    const { accounting: service } = app
    const accounting = service === null ? {} : { accounting: () => service.ping() }
    const ask = createReadiness({ clock, probes })
    const askConfigured = createReadiness<string>({ clock, probes: { ...redis, ...auth, ...accounting } })
    app.decorate('readiness', async function askReadiness() {
      const [needed, configured] = await Promise.all([ask(), askConfigured()])
      const checks: Checks = { ...needed, ...configured }
      const isReady =
        !app.lifecycle.isDraining && Object.entries(checks).every(([name, check]) => check === 'ok' || SHOWN.has(name))
      return { isReady, checks }
    })
  },
  { name: 'readiness', dependencies: ['configuration', 'lifecycle', 'store', 'bus', 'auth', 'accounting', 'flowise'] }
)
