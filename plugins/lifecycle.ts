import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import { createLifecycle, type Lifecycle } from '../src/lifecycle.ts'

declare module 'fastify' {
  interface FastifyInstance {
    lifecycle: Lifecycle
    refuseWhileDraining: onRequestAsyncHookHandler
  }
}

/** What is running, what repeats, and how it ends. */
export default fp(
  async function lifecycle(app: FastifyInstance) {
    const lifecycle = createLifecycle({
      clock: app.clock,
      drainMs: app.config.drainMs,
      onError: (name, err) => app.log.error({ err, job: name }, 'background work failed')
    })
    app.decorate('lifecycle', lifecycle)
    app.decorate('refuseWhileDraining', async function refuseWhileDraining() {
      if (lifecycle.isDraining) throw new AppError('draining', { retryAfterSeconds: 5 })
    })
    // Before onClose: there the store would be closed first, with work still writing to it.
    app.addHook('preClose', async function endWork() {
      await lifecycle.close()
    })
  },
  { name: 'lifecycle', dependencies: ['configuration'] }
)
