import type { CollectionSpec, Document } from './port.ts'

/** What somebody thinks of an answer. id is made from the message's: there is one of each. */
export interface FeedbackRow extends Document {
  userId: string
  /** Null: the user's own chat. */
  visitorId: string | null
  chatflowId: string
  sessionId: string
  messageId: string
  rating: 'THUMBS_UP' | 'THUMBS_DOWN'
  content: string | null
  createdAt: number
  updatedAt: number
  /** What Flowise calls the message; absent where it did not say. */
  upstreamMessageId?: string
  /** What Flowise calls its copy; absent while it has none. */
  upstreamId?: string
}

/** Who left an address in a chat; userId is whose page it was. */
export interface LeadRow extends Document {
  userId: string
  visitorId: string | null
  chatflowId: string
  /** The session it came from; null where none was named. */
  sessionId: string | null
  name: string | null
  email: string | null
  phone: string | null
  createdAt: number
}

/**
 * What Flowise knows a chat by in which nothing has been asked yet; the session that begins takes it over. id is made
 * from user, chatflow and session.
 */
export interface PreparedChatRow extends Document {
  userId: string
  chatflowId: string
  upstream: { sessionId: string; chatId: string; usedChatIds: string[] }
  expiresAt: number
}

/** What comes beside the questions of Flowise's own clients. */
export const surfaceCollections: CollectionSpec[] = [
  { name: 'feedback', indexes: [['chatflowId', 'createdAt'], ['sessionId']] },
  { name: 'leads', indexes: [['chatflowId', 'createdAt']] },
  { name: 'prepared_chats', indexes: [['userId'], ['expiresAt']] }
]
