import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import { createLifecycle, type Lifecycle } from '../src/lifecycle.ts'

declare module 'fastify' {
  interface FastifyInstance {
    lifecycle: Lifecycle
    /** onRequest hook of predictions. */
    refuseWhileDraining: onRequestHookHandler
  }
}

/** What is running, what repeats, and how it ends. */
export default fp(
  async function lifecycle(app: FastifyInstance) {
    const life = createLifecycle({
      clock: app.clock,
      drainMs: app.config.drainMs,
      onError: (name, err) => app.log.error({ err, job: name }, 'background work failed')
    })
    app.decorate('lifecycle', life)
    app.decorate('refuseWhileDraining', function refuseWhileDraining(_request, _reply, done) {
      done(life.isDraining ? new AppError('draining', { retryAfterSeconds: 5 }) : undefined)
    })
    // Before onClose: there the store would be closed first, with work still writing to it.
    app.addHook('preClose', async function endWork() {
      await life.close()
    })
  },
  { name: 'lifecycle', dependencies: ['configuration'] }
)
