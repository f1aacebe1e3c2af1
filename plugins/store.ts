import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Store } from '../src/store/port.ts'

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
  }
}

/** The open store; closed last, after everything that may still write. */
export default fp(
  async function store(app: FastifyInstance) {
    app.decorate('store', app.parts.store)
    app.addHook('onClose', async function closeStore() {
      await app.parts.store.close()
    })
  },
  { name: 'store', dependencies: ['configuration'] }
)
