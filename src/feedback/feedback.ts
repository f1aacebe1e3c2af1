import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { derivedRunId } from '../ids.ts'
import { pagesOf } from '../store/collect.ts'
import type { MessageRow } from '../store/collections.ts'
import type { Position } from '../store/cursor.ts'
import type { Store } from '../store/port.ts'
import type { FeedbackRow } from '../store/surface-rows.ts'

export type Rating = FeedbackRow['rating']

/** What people say about answers. */
export interface Feedback {
  /** Stores what is said about an answer; a second time replaces the first, under the same id. */
  rate(answer: MessageRow, said: Said & { visitorId: string | null }): Promise<FeedbackRow>
  get(feedbackId: string): Promise<FeedbackRow | undefined>
  /** @throws feedback_not_found also for somebody else's */
  owned(author: Author, feedbackId: string): Promise<FeedbackRow>
  /** Changes what was said; what is absent stays. @throws feedback_not_found */
  change(author: Author, feedbackId: string, said: Partial<Said>): Promise<FeedbackRow>
  /** Notes what Flowise calls its copy. */
  passedOn(feedbackId: string, upstreamId: string): Promise<void>
  /** Newest first. */
  ofChatflow(chatflowId: string, page: { after: Position | undefined; limit: number }): Promise<FeedbackRow[]>
  /** All of it, read as it is asked for. */
  all(chatflowId: string): AsyncGenerator<FeedbackRow>
  removeOfSession(sessionId: string): Promise<void>
}

export interface Said {
  rating: Rating
  content: string | null
}

/** Whose it is: a user's own, or one visitor's. */
export interface Author {
  userId: string
  visitorId: string | null
}

const PAGE = 200

/** The feedback in this store. */
export function createFeedback({ store, clock }: { store: Store; clock: Clock }): Feedback {
  const rows = store.collection<FeedbackRow>('feedback')

  async function owned({ userId, visitorId }: Author, feedbackId: string): Promise<FeedbackRow> {
    const row = await rows.get(feedbackId)
    if (row?.userId !== userId || row.visitorId !== visitorId) throw new AppError('feedback_not_found')
    return row
  }

  async function changed(id: string, said: Partial<Said>): Promise<FeedbackRow> {
    const isThere = await rows.update(id, {}, { set: { ...said, updatedAt: clock.now() } })
    const row = isThere ? await rows.get(id) : undefined
    if (!row) throw new AppError('feedback_not_found')
    return row
  }

  return {
    get: (feedbackId) => rows.get(feedbackId),
    owned,

    async rate({ id: messageId, userId, chatflowId, sessionId, upstreamId }, { visitorId, ...said }) {
      const id = derivedRunId('feedback', messageId)
      const now = clock.now()
      const about = { userId, visitorId, chatflowId, sessionId, messageId }
      const known = upstreamId === undefined ? {} : { upstreamMessageId: upstreamId }
      const row = { id, ...about, ...known, ...said, createdAt: now, updatedAt: now }
      return (await rows.insert(row)) ? row : changed(id, said)
    },

    async change(author, feedbackId, said) {
      const { id } = await owned(author, feedbackId)
      return changed(id, said)
    },

    async passedOn(feedbackId, upstreamId) {
      await rows.update(feedbackId, {}, { set: { upstreamId } })
    },

    ofChatflow: (chatflowId, { after, limit }) =>
      rows.list({
        where: { equal: { chatflowId } },
        order: { by: 'createdAt', direction: 'desc' },
        ...(after ? { after } : {}),
        limit
      }),

    async *all(chatflowId) {
      const order = { by: 'createdAt', direction: 'desc' } as const
      for await (const page of pagesOf(rows, { where: { equal: { chatflowId } }, order, limit: PAGE })) yield* page
    },

    async removeOfSession(sessionId) {
      for await (const page of pagesOf(rows, { where: { equal: { sessionId } }, limit: PAGE }))
        await Promise.all(page.map(({ id }) => rows.remove(id)))
    }
  }
}
