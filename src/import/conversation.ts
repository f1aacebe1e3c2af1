import type { Answer } from '../history/messages.ts'
import type { MessageRow, SessionRow } from '../store/collections.ts'
import type { Counter } from './report.ts'
import type { ImportParts } from './rules.ts'

/** A message on its way into a session. */
export interface Entry {
  id: string
  at: number
  fileIds: string[]
  /** One of the two. */
  question?: string
  answer?: Pick<Answer, 'text' | 'data' | 'dataOmitted' | 'truncated'>
}

/** A session on its way. */
export interface Conversation {
  /** As it is, or as it will be when its first message comes. */
  session: SessionRow
  isStored: boolean
  /** By this import. */
  isChanged: boolean
  /** Messages of the source that the session has so far. */
  present: number
}

/** MongoDB carries them inside the session's document until they are in their place. */
const BATCH_MESSAGES = 20
/** At once; many conversations are written at the same time. */
const LOOKED_FOR = 20
const BATCH_BYTES = 2 * 1024 * 1024

/** Writes messages behind those that a session has, each write with the session or not at all. */
export function createWriter({ target, history }: ImportParts, counter: Counter) {
  const sessions = target.collection<SessionRow>('sessions')
  const messages = target.collection<MessageRow>('messages')

  function rowOf(session: SessionRow, { id, at, fileIds, question, answer }: Entry): MessageRow {
    const named = fileIds.length > 0 ? { fileIds } : {}
    if (answer) return history.answerRow(session, { ...answer, messageId: id, status: 'complete', ...named }, at)
    return history.questionRow(session, { id, text: question ?? '', now: at, ...named })
  }

  /** A start of these that can be written at once. */
  function batchOf(session: SessionRow, entries: Entry[]): MessageRow[] {
    const rows: MessageRow[] = []
    let bytes = 0
    for (const entry of entries.slice(0, BATCH_MESSAGES)) {
      const row = rowOf({ ...session, messageCount: session.messageCount + rows.length }, entry)
      bytes += Buffer.byteLength(row.content) + Buffer.byteLength(JSON.stringify(row.data ?? null))
      if (rows.length > 0 && bytes > BATCH_BYTES) return rows
      rows.push(row)
    }
    return rows
  }

  async function append(conversation: Conversation, rows: MessageRow[]): Promise<boolean> {
    const { session, isStored } = conversation
    const question = rows.find(({ role }) => role === 'user')?.content ?? ''
    const changed: SessionRow = {
      ...session,
      topic: session.topic === '' ? history.topicOf(question) : session.topic,
      messageCount: session.messageCount + rows.length,
      lastActivityAt: Math.max(session.lastActivityAt, ...rows.map(({ createdAt }) => createdAt))
    }
    const documents = rows.map((document) => ({ collection: 'messages', document }))
    const { topic, lastActivityAt } = changed
    const isDone = isStored
      ? await sessions.update(
          session.id,
          { equal: { userId: session.userId, messageCount: session.messageCount } },
          { set: { topic, lastActivityAt }, inc: { messageCount: rows.length } },
          documents
        )
      : await sessions.insert(changed, documents)
    if (isDone) Object.assign(conversation, { session: changed, isStored: true, isChanged: true })
    return isDone
  }

  /** A message is never there without its session, so that of a new one none is looked for. */
  async function find(entries: Entry[]): Promise<(MessageRow | undefined)[]> {
    const found: (MessageRow | undefined)[] = []
    for (let start = 0; start < entries.length; start += LOOKED_FOR) {
      const some = entries.slice(start, start + LOOKED_FOR)
      found.push(...(await Promise.all(some.map(({ id }) => messages.get(id)))))
    }
    return found
  }

  return {
    /** Answers those of the entries that are in the session now. */
    async write(conversation: Conversation, entries: Entry[]): Promise<Entry[]> {
      const found = conversation.isStored ? await find(entries) : []
      const isThere = (index: number) => found[index]?.sessionId === conversation.session.id
      const there = entries.filter((_, index) => isThere(index))
      const missing = entries.filter((_, index) => found[index] === undefined)
      for (const _ of there) counter.unchanged()
      for (const [index, { id }] of entries.entries())
        if (found[index] && !isThere(index)) counter.skip(id, 'there is another message of this id')
      conversation.present += there.length
      for (let rest = missing; rest.length > 0; ) {
        const rows = batchOf(conversation.session, rest)
        const batch = rest.slice(0, rows.length)
        rest = rest.slice(rows.length)
        // Whoever has gone on with it here would find old messages behind new ones.
        const isEnd = conversation.present === conversation.session.messageCount
        const isDone = isEnd && (await append(conversation, rows))
        if (isDone) there.push(...batch)
        conversation.present += isDone ? batch.length : 0
        for (const { id } of batch)
          if (isDone) counter.imported()
          else counter.skip(id, 'the session has been used here since the import before')
      }
      return there
    }
  }
}
