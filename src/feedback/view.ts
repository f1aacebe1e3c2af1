import { isoInstant } from '../clock.ts'
import { csvTable } from '../csv.ts'
import { Id, Instant, Members, Nullable, PageReply, type Static, Type } from '../schema.ts'
import type { FeedbackRow } from '../store/surface-rows.ts'

const COLUMNS = [
  'id',
  'created_at',
  'updated_at',
  'rating',
  'content',
  'user_id',
  'visitor_id',
  'session_id',
  'message_id'
] as const
const RatingName = Type.Union([Type.Literal('THUMBS_UP'), Type.Literal('THUMBS_DOWN')])
const Content = Type.String({ maxLength: 5000 })

/** What Flowise's clients send about an answer. */
export const FeedbackBody = Members(
  {
    chatflowid: Type.Optional(Nullable(Id)),
    chatId: Type.Optional(Nullable(Type.String({ maxLength: 512, description: "the client's name of the session" }))),
    messageId: Type.String({ minLength: 1, maxLength: 128, description: 'metadata.chatMessageId of the answer' }),
    rating: RatingName,
    content: Type.Optional(Nullable(Content))
  },
  { examples: [{ chatId: 'report-1', messageId: '5d0f4d8e-54a4-4c51-9ac1-8a8a8d1b1a11', rating: 'THUMBS_UP' }] }
)

/** What they change of it. */
export const FeedbackChange = Members({
  rating: Type.Optional(RatingName),
  content: Type.Optional(Nullable(Content))
})

/** A rating as Flowise shows it. */
export const FlowiseFeedback = Members({
  chatflowid: Id,
  chatId: Type.String({ description: "the client's, as it came" }),
  messageId: Id,
  rating: RatingName,
  content: Nullable(Type.String()),
  id: Id,
  createdDate: Instant
})

/** A rating as administrators see it. */
export const FeedbackView = Members({
  id: Id,
  created_at: Instant,
  updated_at: Instant,
  rating: RatingName,
  content: Nullable(Type.String()),
  user_id: Id,
  visitor_id: Nullable(Type.String()),
  session_id: Id,
  message_id: Id
})

export const FeedbackPage = Type.Object({ feedback: Type.Array(FeedbackView), ...PageReply })

/** The reply to a client made for Flowise. */
export function flowiseFeedback(row: FeedbackRow, chatId: string): Static<typeof FlowiseFeedback> {
  const { id, chatflowId: chatflowid, messageId, rating, content, createdAt } = row
  return { chatflowid, chatId, messageId, rating, content, id, createdDate: isoInstant(createdAt) }
}

/** The API form of a rating. */
export function feedbackView(row: FeedbackRow): Static<typeof FeedbackView> {
  return {
    id: row.id,
    created_at: isoInstant(row.createdAt),
    updated_at: isoInstant(row.updatedAt),
    rating: row.rating,
    content: row.content,
    user_id: row.userId,
    visitor_id: row.visitorId,
    session_id: row.sessionId,
    message_id: row.messageId
  }
}

/** The rows as CSV, header first. */
export function feedbackCsv(rows: AsyncIterable<FeedbackRow>): AsyncGenerator<string> {
  return csvTable(COLUMNS, rows, feedbackView)
}
