import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf } from '../src/auth/identity.ts'
import { mayReach } from '../src/auth/scopes.ts'
import { AppError } from '../src/errors.ts'
import type { FileRow, SessionRow } from '../src/store/collections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** A session of the caller's. @throws session_not_found also for one of a chatflow that the caller's key is not for */
    reachSession(request: FastifyRequest, sessionId: string): Promise<SessionRow>
    /** A file of the caller's. @throws file_not_found also for one that is only in such sessions */
    reachFile(request: FastifyRequest, fileId: string): Promise<FileRow>
  }
}

/** What of a user's the caller may have: who comes by a key may be confined to some chatflows. */
export default fp(
  async function reach(app: FastifyInstance) {
    app.decorate('reachSession', async function reachSession(request: FastifyRequest, sessionId: string) {
      const { userId, key } = identityOf(request)
      const session = await app.history.owned(userId, sessionId)
      if (!mayReach(key, session)) throw new AppError('session_not_found')
      return session
    })

    app.decorate('reachFile', async function reachFile(request: FastifyRequest, fileId: string) {
      const { userId, key } = identityOf(request)
      const file = await app.files.owned(userId, fileId)
      const sessionIds = Object.values(file.sessions)
      // One that is of no conversation yet is of no chatflow either.
      if (!key?.chatflowIds || sessionIds.length === 0) return file
      const sessions = await Promise.all(sessionIds.map((id) => app.history.session(id)))
      if (!sessions.some((session) => session && mayReach(key, session))) throw new AppError('file_not_found')
      return file
    })
  },
  { name: 'reach', dependencies: ['auth', 'files', 'history'] }
)
