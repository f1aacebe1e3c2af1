import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { chatOwnerOf, identityOf } from '../src/auth/identity.ts'
import { AppError } from '../src/errors.ts'
import { isPlainName, storedFileHeaders } from '../src/files/stored.ts'
import { readStoredFile } from '../src/flowise/stored-file.ts'
import type { StoredFile } from '../src/flowise/surface-calls.ts'
import { signalOfLeaving } from '../src/leaving.ts'

/** Opens a file at Flowise; undefined for one that is not there. */
type Open = (file: StoredFile, signal: AbortSignal) => Promise<Readable | undefined>

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Sends a file that Flowise keeps for a chat of the caller's; ids are as the client has them.
     * @throws file_not_found, and what permissions and Flowise refuse with
     */
    sendStoredFile(request: FastifyRequest, reply: FastifyReply, wanted: WantedFile): Promise<FastifyReply>
  }
}

interface WantedFile extends StoredFile {
  open: Open
  isDownload: boolean
}

const PER_MINUTE = 300
/** A chat has had other ids after runs that were cut off; its files may be under one of those. */
const MAX_CHAT_IDS = 5
/** How Flowise names files in its answers. */
const STORED = 'FILE-STORAGE::'

/** Files that Flowise keeps for chats: only those of the caller's own. */
export default fp(
  async function storedFiles(app: FastifyInstance) {
    const { idleTimeoutMs: idleMs, deadlineMs, maxAnswerBytes: maxBytes } = app.config.flowise

    app.decorate('sendStoredFile', async function sendStoredFile(request, reply, wanted) {
      const { chatflowId, chatId, open, isDownload } = wanted
      const fileName = wanted.fileName.startsWith(STORED) ? wanted.fileName.slice(STORED.length) : wanted.fileName
      await app.limitCalls(request, 'stored-files', PER_MINUTE)
      await app.grantFor(request, chatflowId)
      if (!isPlainName(fileName)) throw new AppError('file_not_found')
      const signal = signalOfLeaving(reply.raw)
      for (const upstreamId of await chatIdsOf(request, chatflowId, chatId)) {
        const body = await open({ chatflowId, chatId: upstreamId, fileName }, signal)
        if (!body) continue
        const { head, stream } = await readStoredFile(body, { clock: app.clock, idleMs, deadlineMs, maxBytes })
        void reply.headers(await storedFileHeaders(fileName, head, { isDownload }))
        if (request.method !== 'HEAD') return reply.send(stream)
        stream.destroy()
        return reply.send()
      }
      throw new AppError('file_not_found')
    })

    /** Flowise's ids of the chat, the present one first. A `+` that was not encoded in an address is a space by now. */
    async function chatIdsOf(request: FastifyRequest, chatflowId: string, chatId: string): Promise<string[]> {
      const owner = chatOwnerOf(identityOf(request))
      const ids: string[] = []
      for (const name of new Set([chatId, chatId.replaceAll(' ', '+')])) {
        const place = { userId: owner.userId, chatflowId, sessionId: await app.sessionOfChat(owner, chatflowId, name) }
        const upstream = await app.history.upstreamOf(place).catch(notTheirs)
        if (upstream) ids.push(upstream.chatId, ...upstream.usedChatIds.toReversed())
      }
      return [...new Set(ids)].slice(0, MAX_CHAT_IDS)
    }
  },
  { name: 'stored-files', dependencies: ['call-limits', 'permissions', 'history', 'flowise'] }
)

/** Somebody else's chat has no files, as far as this one is concerned. */
function notTheirs(error: unknown): undefined {
  if (error instanceof AppError && error.code === 'session_not_found') return undefined
  throw error
}
