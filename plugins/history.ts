import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createHistory, type History } from '../src/history/history.ts'
import type { SessionRow } from '../src/store/collections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    history: History
  }
}

/** The conversations; what is deleted here, Flowise is asked to forget. */
export default fp(
  async function history(app: FastifyInstance) {
    const { store, bus, ids, flowise, lifecycle, files } = app

    /** One call after the other: a long history must not flood Flowise. Best effort, and cut short by a shutdown. */
    async function forget(sessions: SessionRow[]): Promise<void> {
      for (const { chatflowId, upstream } of sessions) {
        const { sessionId, chatId, usedChatIds } = upstream
        for (const used of new Set([...usedChatIds, chatId])) {
          if (lifecycle.drainSignal.aborted) return
          await flowise.forget(chatflowId, { chatId: used, sessionId })
        }
      }
    }

    // The reply does not wait; the shutdown does, and reports what fails.
    const onDeleted = (sessions: SessionRow[]) => void lifecycle.track(forget(sessions)).catch(() => {})
    const { removeOfSession: removeFiles } = files
    app.decorate('history', createHistory({ store, bus, ids, removeFiles, onDeleted }))
  },
  { name: 'history', dependencies: ['store', 'bus', 'flowise', 'files', 'lifecycle'] }
)
