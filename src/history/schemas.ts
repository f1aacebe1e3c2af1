import { isoInstant } from '../clock.ts'
import { Id, Instant, Members, type Static, Type } from '../schema.ts'
import type { MessageRow, SessionRow } from '../store/collections.ts'

/** A conversation in a list. */
export const SessionBody = Members({
  session_id: Id,
  chatflow_id: Id,
  topic: Type.String({ description: 'start of the first question' }),
  created_at: Instant,
  last_activity_at: Instant,
  message_count: Type.Integer()
})

/** A message of a conversation. */
export const MessageBody = Members({
  id: Id,
  role: Type.Union([Type.Literal('user'), Type.Literal('assistant')]),
  content: Type.String(),
  timestamp: Instant,
  status: Type.Union([Type.Literal('complete'), Type.Literal('incomplete'), Type.Literal('failed')]),
  files: Type.Array(
    Members({
      file_id: Id,
      name: Type.String(),
      mime: Type.String(),
      size: Type.Integer(),
      url: Type.String(),
      thumbnail_url: Type.Optional(Type.String({ description: 'images only' }))
    })
  ),
  data: Type.Optional(
    Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: 'what the answer had besides its text'
    })
  ),
  data_omitted: Type.Optional(Type.Boolean({ description: 'true when data was too large to keep' })),
  truncated: Type.Optional(Type.Boolean({ description: 'true when the text was cut' }))
})

/** A session as its owner sees it; what Flowise knows it by stays here. */
export function sessionView(row: SessionRow): Static<typeof SessionBody> {
  return {
    session_id: row.id,
    chatflow_id: row.chatflowId,
    topic: row.topic,
    created_at: isoInstant(row.createdAt),
    last_activity_at: isoInstant(row.lastActivityAt),
    message_count: row.messageCount
  }
}

/** A message as the owner of its session sees it. */
export function messageView(row: MessageRow, files: Static<typeof MessageBody>['files']): Static<typeof MessageBody> {
  return {
    id: row.id,
    role: row.role,
    content: row.content,
    timestamp: isoInstant(row.createdAt),
    status: row.status,
    files,
    ...(row.dataOmitted ? { data_omitted: true } : { data: row.data ?? {} }),
    ...(row.truncated ? { truncated: true } : {})
  }
}
