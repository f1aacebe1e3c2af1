import type { FastifyInstance, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { type Attachments, attach } from '../src/files/attachments.ts'

declare module 'fastify' {
  interface FastifyInstance {
    checkFiles: preHandlerAsyncHookHandler
  }
  interface FastifyRequest {
    /** The files of this prediction; null when there are none. */
    attachments: Attachments | null
  }
}

/** Step 6 of a prediction: its files are checked and have their place in the quota before any credits are held. */
export default fp(
  async function attachments(app: FastifyInstance) {
    app.decorateRequest('attachments', null)
    app.decorate('checkFiles', async function checkFiles(request) {
      const { exchange, prediction } = request
      if (!exchange || !prediction) return
      const { files, fileIds = [], passed = [] } = prediction
      if (files.length + fileIds.length + passed.length === 0) return
      const { userId, sessionId, chatflow } = exchange
      try {
        const checked = passed.length === 0 ? [] : await app.checkPassed(chatflow.id, passed)
        if (request.identity?.key?.chatflowIds) await Promise.all(fileIds.map((id) => app.reachFile(request, id)))
        const attached = await attach(app.files, { userId, sessionId, files, fileIds, passed: checked })
        request.attachments = attached
        // The request stays for as long as the answer takes; the bytes need not.
        prediction.files = []
        prediction.passed = []
        request.fileParts = null
        // However it ends: what no message names is not there.
        exchange.beforeConcluded(attached.giveUp)
      } catch (error) {
        exchange.end({ ending: 'refused', isClean: true })
        await exchange.concluded
        throw error
      }
    })
  },
  { name: 'attachments', dependencies: ['files', 'passed-files', 'reach', 'exchange'] }
)
