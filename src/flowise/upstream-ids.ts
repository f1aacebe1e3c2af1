import type { SessionRow } from '../store/collections.ts'

type UpstreamIds = SessionRow['upstream']

const MAX_USED_CHAT_IDS = 1000

/**
 * What Flowise knows the next run of a session by. A new session gets new ids; one whose last run was left before
 * Flowise's `end` keeps its memory (sessionId) and gets a new chatId, because that run may still be writing.
 */
export function nextUpstreamIds(session: SessionRow | null, mint: () => string): UpstreamIds {
  if (session === null) {
    const chatId = mint()
    return { sessionId: mint(), chatId, usedChatIds: [chatId] }
  }
  if (!session.isUnclean) return session.upstream
  const chatId = mint()
  const usedChatIds = [...session.upstream.usedChatIds, chatId].slice(-MAX_USED_CHAT_IDS)
  return { ...session.upstream, chatId, usedChatIds }
}
