import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Blobs } from '../src/blobs/port.ts'

declare module 'fastify' {
  interface FastifyInstance {
    blobs: Blobs
  }
}

const MAINTAIN_MS = 3_600_000

/** The bytes of files; closed before the store, whose connection they may use. */
export default fp(
  async function blobs(app: FastifyInstance) {
    app.decorate('blobs', app.parts.blobs)
    app.lifecycle.every(MAINTAIN_MS, 'blob maintenance', async function maintainBlobs() {
      await app.takeTurn('blob-maintenance', MAINTAIN_MS, () => app.blobs.maintain())
    })
    app.addHook('onClose', async function closeBlobs() {
      await app.parts.blobs.close()
    })
  },
  { name: 'blobs', dependencies: ['configuration', 'lifecycle', 'bus', 'store'] }
)
