import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { readUploadRules } from '../src/chatflows/upload-rules.ts'
import { AppError } from '../src/errors.ts'
import type { ClaimedFile } from '../src/files/arrival.ts'
import { type CheckedFile, checkDocuments, checkPassed, type PassedFile } from '../src/files/passing.ts'
import { createRemembered } from '../src/flowise/remembered.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Documents whose text Flowise is to read. @throws uploads_forbidden, file_too_large, unsupported_media_type, file_quota_exceeded */
    checkDocuments(userId: string, chatflowId: string, files: readonly ClaimedFile[]): Promise<CheckedFile[]>
    /** Documents that are to be indexed. @throws file_too_large, unsupported_media_type, file_quota_exceeded */
    checkIndexed(userId: string, files: readonly ClaimedFile[]): Promise<CheckedFile[]>
    /** Files of a prediction that are not kept. @throws uploads_forbidden, file_too_large, unsupported_media_type */
    checkPassed(chatflowId: string, files: readonly PassedFile[]): Promise<CheckedFile[]>
  }
}

const DAY_MS = 24 * 60 * 60 * 1000
const KIB = 1024
const REMEMBERED = { ttlMs: 60_000, maxEntries: 1000 }

/** Files that go to Flowise and are not kept here: what a chatflow takes, and how much of it a day. */
export default fp(
  async function passedFiles(app: FastifyInstance) {
    const { fileBytes: maxFileBytes, userFilesBytes } = app.config.limits

    const rulesOf = createRemembered({
      clock: app.clock,
      ...REMEMBERED,
      lookup: async (chatflowId) => readUploadRules(await app.flowise.chatbotConfig(chatflowId))
    })

    /** Flowise keeps them: as much a day as a user may have here altogether. */
    async function countDay(userId: string, files: readonly ClaimedFile[]): Promise<void> {
      const sizeKib = Math.ceil(files.reduce((sum, { bytes }) => sum + bytes.length, 0) / KIB)
      const key = `passed-files:${userId}`
      // Counted first: of many at once each would find room.
      const { value, resetMs } = await app.bus.count(key, DAY_MS, sizeKib)
      if (value <= userFilesBytes / KIB) return
      await app.bus.count(key, DAY_MS, -sizeKib)
      throw new AppError('file_quota_exceeded', {
        detail: 'Too many files in one day.',
        retryAfterSeconds: resetMs / 1000
      })
    }

    app.decorate('checkDocuments', async function checkAttached(userId, chatflowId, files) {
      const { documents } = await rulesOf(chatflowId)
      if (documents === null) throw new AppError('uploads_forbidden', { detail: 'This chatflow takes no documents.' })
      const checked = await checkDocuments(files, { maxFileBytes, allowed: documents })
      await countDay(userId, files)
      return checked
    })

    app.decorate('checkIndexed', async function checkIndexed(userId, files) {
      const checked = await checkDocuments(files, { maxFileBytes })
      await countDay(userId, files)
      return checked
    })

    app.decorate('checkPassed', async function checkInPrediction(chatflowId, files) {
      const { documents, isIndexing, isListening } = await rulesOf(chatflowId)
      const takes = { 'file:full': documents !== null, 'file:rag': isIndexing, audio: isListening }
      for (const { kind } of files)
        if (!takes[kind])
          throw new AppError('uploads_forbidden', {
            detail: kind === 'audio' ? 'This chatflow takes no voice messages.' : 'This chatflow takes no documents.'
          })
      return checkPassed(files, maxFileBytes)
    })
  },
  { name: 'passed-files', dependencies: ['configuration', 'bus', 'flowise'] }
)
