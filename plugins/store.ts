import fastifyMongodb from '@fastify/mongodb'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Store } from '../src/store/port.ts'

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
  }
}

const MAINTAIN_MS = 10_000

/** The open store; closed after everything that may still write. */
export default fp(
  async function store(app: FastifyInstance) {
    const { mongo } = app.parts.store
    app.decorate('store', app.parts.store)
    // The same connections for what is no document: `app.mongo`.
    if (mongo) await app.register(fastifyMongodb, mongo)
    app.lifecycle.every(MAINTAIN_MS, 'store maintenance', async function maintainStore() {
      await app.takeTurn('store-maintenance', MAINTAIN_MS, () => app.store.maintain())
    })
    app.addHook('onClose', async function closeStore() {
      await app.parts.store.close()
    })
  },
  { name: 'store', dependencies: ['configuration', 'lifecycle', 'bus'] }
)
