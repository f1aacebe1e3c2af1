import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Bus } from '../src/bus/port.ts'
import { createTurns, type TakeTurn } from '../src/bus/turns.ts'

declare module 'fastify' {
  interface FastifyInstance {
    bus: Bus
    /** For repeating work that one process of the installation is enough for. */
    takeTurn: TakeTurn
  }
}

/** What processes of one installation tell each other. */
export default fp(
  async function bus(app: FastifyInstance) {
    const shared = app.parts.bus
    app.decorate('bus', shared)
    app.decorate('takeTurn', createTurns(shared, app.ids.run()))
    let wasUp = true
    shared.watch(({ isUp, reason }) => {
      app.metrics.busUp(isUp)
      if (wasUp && !isUp) app.log.warn({ reason }, 'Redis is away, this process goes on by itself')
      if (!wasUp && isUp) app.log.info('Redis is back')
      wasUp = isUp
    })
    app.addHook('onClose', async function closeBus() {
      await shared.close()
    })
  },
  { name: 'bus', dependencies: ['configuration', 'metrics'] }
)
