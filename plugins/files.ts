import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { ClaimedFile } from '../src/files/arrival.ts'
import { createFiles, type Files } from '../src/files/files.ts'
import { createThumbnails, type MakeThumbnail } from '../src/files/thumbnails.ts'

declare module 'fastify' {
  interface FastifyInstance {
    files: Files
    makeThumbnail: MakeThumbnail
  }
  interface FastifyRequest {
    /** Files of a multipart body; set by its parser. */
    fileParts: ClaimedFile[] | null
  }
}

const SWEEP_MS = 600_000
const RECONCILE_MS = 3_600_000

/** The files of users, and what is done about them without being asked. */
export default fp(
  async function files(app: FastifyInstance) {
    const { store, blobs, clock, ids, lifecycle, takeTurn } = app
    const { fileBytes: maxFileBytes, userFilesBytes: maxUserBytes } = app.config.limits
    app.decorate('files', createFiles({ store, blobs, clock, ids, maxFileBytes, maxUserBytes }))
    app.decorate('makeThumbnail', createThumbnails())
    app.decorateRequest('fileParts', null)
    lifecycle.every(SWEEP_MS, 'file sweep', async function sweepFiles() {
      const removed = await takeTurn('file-sweep', SWEEP_MS, () => app.files.sweep())
      if (removed) app.log.info({ removed }, 'files removed that nobody used')
    })
    lifecycle.every(RECONCILE_MS, 'file reconciliation', async function reconcileFiles() {
      const found = await takeTurn('file-reconciliation', RECONCILE_MS, () => app.files.reconcile())
      if (found && found.orphans + found.miscounted > 0) app.log.warn(found, 'files and their rows were put right')
    })
  },
  { name: 'files', dependencies: ['configuration', 'lifecycle', 'bus', 'store', 'blobs'] }
)
