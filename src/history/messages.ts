import type { MessageRow, SessionRow } from '../store/collections.ts'
import type { Position } from '../store/cursor.ts'
import type { Collection, Store } from '../store/port.ts'
import { cutText } from './text.ts'

const MAX_TEXT_BYTES = 1024 * 1024
const MAX_DATA_BYTES = 256 * 1024
const PAGE = 500

/** The assistant's half of a turn, as the prediction ended. */
export interface Answer {
  messageId: string
  text: string
  /** `incomplete`: a partial answer. */
  status: 'complete' | 'incomplete'
  /** The allowed non-text members; above 256 KiB they are left out. */
  data?: Record<string, unknown> | undefined
  dataOmitted?: boolean
  /** The text was cut before it came here. */
  truncated?: boolean
  fileIds?: string[] | undefined
  /** The error that the client was told. */
  code?: string | undefined
  /** What Flowise calls it. */
  upstreamId?: string | undefined
}

/** The messages of this store. */
export function messagesOf(store: Store): Collection<MessageRow> {
  return store.collection<MessageRow>('messages')
}

/** The row of a question, at the end of the session as it is now. */
export function questionRow(
  session: SessionRow,
  { id, text, now, fileIds }: Placed & { fileIds?: string[] | undefined }
): MessageRow {
  const row = placeIn(session, { id, text, now, role: 'user', status: 'complete' })
  if (fileIds) row.fileIds = fileIds
  return row
}

/** The row of an answer, at the end of the session as it is now. */
export function answerRow(session: SessionRow, answer: Answer, now: number): MessageRow {
  const { messageId: id, text, status, data, fileIds, code, upstreamId } = answer
  const row = placeIn(session, { id, text, now, role: 'assistant', status })
  const isTooLarge = data !== undefined && Buffer.byteLength(JSON.stringify(data)) > MAX_DATA_BYTES
  if (isTooLarge || answer.dataOmitted) row.dataOmitted = true
  else if (data) row.data = data
  if (answer.truncated) row.truncated = true
  if (fileIds) row.fileIds = fileIds
  if (code) row.code = code
  if (upstreamId) row.upstreamId = upstreamId
  return row
}

/** Messages of a session in the order of the conversation, behind `after`. */
export function listMessages(
  messages: Collection<MessageRow>,
  sessionId: string,
  page: { after: Position | undefined; limit: number }
): Promise<MessageRow[]> {
  return messages.list({
    where: { equal: { sessionId } },
    order: { by: 'position', direction: 'asc' },
    ...(page.after ? { after: page.after } : {}),
    limit: page.limit
  })
}

/** Removes the messages of a session in pages; answers how many. Repeating it after a crash removes the rest. */
export async function removeMessages(messages: Collection<MessageRow>, sessionId: string): Promise<number> {
  let removed = 0
  for (;;) {
    const page = await messages.list({ where: { equal: { sessionId } }, limit: PAGE })
    const results = await Promise.all(page.map((row) => messages.remove(row.id)))
    removed += results.filter(Boolean).length
    if (page.length < PAGE) return removed
  }
}

interface Placed {
  id: string
  text: string
  now: number
}

function placeIn(
  { id: sessionId, userId, chatflowId, messageCount }: SessionRow,
  { id, text, now, role, status }: Placed & Pick<MessageRow, 'role' | 'status'>
): MessageRow {
  const { text: content, isCut } = cutText(text, MAX_TEXT_BYTES)
  const row: MessageRow = {
    id,
    sessionId,
    userId,
    chatflowId,
    content,
    position: messageCount,
    createdAt: now,
    role,
    status
  }
  if (isCut) row.truncated = true
  return row
}
