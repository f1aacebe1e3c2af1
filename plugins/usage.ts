import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createFreeRuns, type FreeRuns } from '../src/usage/free-runs.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The runs that cost nothing; the books know only the others. */
    freeRuns: FreeRuns
  }
}

/** Reports reach back so far. */
const KEPT_MS = 93 * 86_400_000
const PURGE_MS = 600_000

/** What predictions have used. */
export default fp(
  async function usage(app: FastifyInstance) {
    const { store, clock, lifecycle, takeTurn } = app
    const freeRuns = createFreeRuns({
      store,
      clock,
      keptMs: KEPT_MS,
      track: (work) => void lifecycle.track(work).catch(() => {})
    })
    app.decorate('freeRuns', freeRuns)
    lifecycle.every(PURGE_MS, 'free runs', async function purgeFreeRuns() {
      await takeTurn('free-run-purge', PURGE_MS, () => freeRuns.purgeExpired())
    })
  },
  { name: 'usage', dependencies: ['store', 'bus', 'lifecycle'] }
)
