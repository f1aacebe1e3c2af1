import { derivedRunId } from '../ids.ts'
import type { SessionRow } from '../store/collections.ts'
import { pagesOf } from '../store/collect.ts'
import type { Store } from '../store/port.ts'
import type { PreparedChatRow } from '../store/surface-rows.ts'

export type Upstream = SessionRow['upstream']

/** A chat that may have no session yet. */
export interface ChatPlace {
  userId: string
  chatflowId: string
  sessionId: string
}

/** What Flowise will know chats by in which nothing has been asked yet: files may come before the first question. */
export interface PreparedChats {
  /** Undefined for a chat that has not been prepared. */
  find(place: ChatPlace): Promise<Upstream | undefined>
  /** Prepares a chat, or answers how it was prepared before. */
  prepare(place: ChatPlace, fresh: Upstream, now: number): Promise<Upstream>
  /** The same as find, once: the session that begins owns it from now on. */
  take(place: ChatPlace): Promise<Upstream | undefined>
  /** Removes what nobody took in time; answers it, so that Flowise can forget it too. */
  purge(now: number): Promise<PreparedChatRow[]>
  removeAllOf(userId: string): Promise<PreparedChatRow[]>
}

const KEPT_MS = 24 * 60 * 60 * 1000
const PAGE = 200

/** The prepared chats in this store. */
export function createPreparedChats(store: Store): PreparedChats {
  const rows = store.collection<PreparedChatRow>('prepared_chats')

  async function removed(found: PreparedChatRow[]): Promise<PreparedChatRow[]> {
    const gone = await Promise.all(found.map((row) => rows.remove(row.id, sameAs(row.upstream))))
    return found.filter((_, index) => gone[index])
  }

  return {
    find: async (place) => (await rows.get(idOf(place)))?.upstream,

    async prepare(place, upstream, now) {
      const { userId, chatflowId } = place
      const id = idOf(place)
      for (;;) {
        const known = await rows.get(id)
        if (known) return known.upstream
        if (await rows.insert({ id, userId, chatflowId, upstream, expiresAt: now + KEPT_MS })) return upstream
      }
    },

    async take(place) {
      const known = await rows.get(idOf(place))
      return known && (await rows.remove(known.id, sameAs(known.upstream))) ? known.upstream : undefined
    },

    purge: async (now) =>
      removed(
        await rows.list({
          where: { lt: { expiresAt: now } },
          order: { by: 'expiresAt', direction: 'asc' },
          limit: PAGE
        })
      ),

    async removeAllOf(userId) {
      const gone: PreparedChatRow[] = []
      for await (const page of pagesOf(rows, { where: { equal: { userId } }, limit: PAGE }))
        gone.push(...(await removed(page)))
      return gone
    }
  }
}

/** Users may name their sessions alike; the first question decides whose a name is. */
function idOf({ userId, chatflowId, sessionId }: ChatPlace): string {
  return derivedRunId('prepared', userId, chatflowId, sessionId)
}

function sameAs({ chatId }: Upstream) {
  return { equal: { 'upstream.chatId': chatId } }
}
