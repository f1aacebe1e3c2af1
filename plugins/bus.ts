import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Bus } from '../src/bus/port.ts'

declare module 'fastify' {
  interface FastifyInstance {
    bus: Bus
  }
}

/** What processes of one installation tell each other. */
export default fp(
  async function bus(app: FastifyInstance) {
    app.decorate('bus', app.parts.bus)
    app.addHook('onClose', async function closeBus() {
      await app.parts.bus.close()
    })
  },
  { name: 'bus', dependencies: ['configuration'] }
)
