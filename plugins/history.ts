import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type ChatOwner, ownSessionOfChat, sessionOfChat } from '../src/flowise/request.ts'
import { isOf } from '../src/history/known-sessions.ts'
import { createHistory, type History, type KnownChat } from '../src/history/history.ts'

declare module 'fastify' {
  interface FastifyInstance {
    history: History
    /** The session that a client made for Flowise means by its chatId. */
    sessionOfChat(owner: ChatOwner, chatflowId: string, chatId: string): Promise<string>
  }
}

const PURGE_MS = 600_000

/** The conversations; what is deleted here, Flowise is asked to forget. */
export default fp(
  async function history(app: FastifyInstance) {
    const { store, bus, ids, clock, flowise, lifecycle, files, feedback } = app

    /** One call after the other: a long history must not flood Flowise. Best effort, and cut short by a shutdown. */
    async function forget(sessions: KnownChat[]): Promise<void> {
      for (const { chatflowId, upstream } of sessions) {
        const { sessionId, chatId, usedChatIds } = upstream
        for (const used of new Set([...usedChatIds, chatId])) {
          if (lifecycle.drainSignal.aborted) return
          await flowise.forget(chatflowId, { chatId: used, sessionId })
        }
      }
    }

    // The reply does not wait; the shutdown does, and reports what fails.
    const onDeleted = (sessions: KnownChat[]) => void lifecycle.track(forget(sessions)).catch(() => {})
    const { removeOfSession: removeFiles } = files
    const { removeOfSession: removeFeedback } = feedback
    app.decorate('history', createHistory({ store, bus, ids, removeFiles, removeFeedback, onDeleted }))
    app.decorate('sessionOfChat', async function findSessionOfChat(owner, chatflowId, chatId) {
      const named = sessionOfChat(owner, chatflowId, chatId)
      // Only a name that others can choose too may be taken.
      if (named !== chatId) return named
      const session = await app.history.session(named)
      const isTaken = session && !isOf(session, { userId: owner.userId, chatflowId })
      return isTaken ? ownSessionOfChat(owner, chatflowId, chatId) : named
    })
    lifecycle.every(PURGE_MS, 'chats without a question', async function purgePrepared() {
      const gone = await app.takeTurn('prepared-chats', PURGE_MS, () => app.history.purge(clock.now()))
      if (gone) await forget(gone)
    })
  },
  { name: 'history', dependencies: ['store', 'bus', 'flowise', 'files', 'feedback', 'lifecycle'] }
)
