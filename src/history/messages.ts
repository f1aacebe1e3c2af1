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
  data?: Record<string, unknown>
  dataOmitted?: boolean
  /** The text was cut before it came here. */
  truncated?: boolean
  fileIds?: string[]
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
  { fileIds, ...message }: Placed & { fileIds?: string[] | undefined }
): MessageRow {
  return { ...placeIn(session, message), role: 'user', status: 'complete', ...(fileIds ? { fileIds } : {}) }
}

/** The row of an answer, at the end of the session as it is now. */
export function answerRow(session: SessionRow, answer: Answer, now: number): MessageRow {
  const { messageId, text, status, data, fileIds, code, upstreamId } = answer
  const isTooLarge = data !== undefined && Buffer.byteLength(JSON.stringify(data)) > MAX_DATA_BYTES
  const isOmitted = isTooLarge || answer.dataOmitted === true
  const place = placeIn(session, { id: messageId, text, now })
  return {
    ...place,
    role: 'assistant',
    status,
    ...(data && !isOmitted ? { data } : {}),
    ...(isOmitted ? { dataOmitted: true } : {}),
    ...(place.truncated || answer.truncated ? { truncated: true } : {}),
    ...(fileIds ? { fileIds } : {}),
    ...(code ? { code } : {}),
    ...(upstreamId ? { upstreamId } : {})
  }
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

function placeIn({ id: sessionId, userId, chatflowId, messageCount }: SessionRow, message: Placed) {
  const { text, isCut } = cutText(message.text, MAX_TEXT_BYTES)
  return {
    id: message.id,
    sessionId,
    userId,
    chatflowId,
    content: text,
    position: messageCount,
    createdAt: message.now,
    ...(isCut ? { truncated: true } : {})
  }
}

interface Placed {
  id: string
  text: string
  now: number
}
