import type { ChatflowRow, SessionRow } from '../store/collections.ts'
import { type Conversation, createWriter, type Entry } from './conversation.ts'
import { conversationsOf, type Part } from './conversations.ts'
import type { Known } from './grants.ts'
import { readMessage, type SourceMessage } from './message.ts'
import { inParallel } from './parallel.ts'
import type { Person } from './people.ts'
import type { Report } from './report.ts'
import type { ImportParts } from './rules.ts'
import { idOf, instantOf, labelOf, type SourceDocument, textOf } from './values.ts'

/** By the id of a file: in which sessions whose messages name it. */
export type NamedFiles = Map<string, { userId: string; sessionIds: Set<string> }[]>

export interface SessionOptions extends Known {
  /** When the last import from this proxy that came to its end had begun; undefined: there was none. */
  importedAt: number | undefined
}

const NO_MESSAGE = 'there is no message of its owner'

interface State {
  /** Of a conversation that is not taken, why. */
  refused?: string
  conversation?: Conversation
}

/** Makes the conversations with the messages of their owners, and completes those that an earlier import made. */
export async function importSessions(parts: ImportParts, options: SessionOptions, report: Report): Promise<NamedFiles> {
  const { people, chatflows, importedAt } = options
  const counters = { sessions: report.counter('sessions'), messages: report.counter('messages') }
  const sessions = parts.target.collection<SessionRow>('sessions')
  const catalogue = parts.target.collection<ChatflowRow>('chatflows')
  const writer = createWriter(parts, counters.messages)
  const files: NamedFiles = new Map()

  /** Whose conversation it is, or why nobody's. */
  async function begin({ sessionId, sessions: documents, messages }: Part<State>): Promise<State> {
    const [document] = documents.toSorted((a, b) => instantOf(a, 'created_at') - instantOf(b, 'created_at'))
    const [first] = messages
    if (documents.length > 0 && documents.every(({ is_active: isActive }) => isActive === false))
      return { refused: 'the session was not active any more' }
    if (first === undefined) return { refused: NO_MESSAGE }
    if (idOf(sessionId) !== sessionId) return { refused: 'its id has more than 128 characters, or strange ones' }
    const owner = people.find(document?.user_id ?? first.user_id)
    if (owner === undefined) return { refused: 'there is no such user, or there are two' }
    if (owner.state === 'deleted') return { refused: 'this user has been deleted here' }
    const reference = document?.chatflow_id ?? first.chatflow_id
    const chatflowId = (await chatflows.find(reference)) ?? idOf(reference)
    if (chatflowId === undefined) return { refused: 'it names no chatflow' }
    const createdAt = instantOf(document ?? first, 'created_at')
    const known = await sessions.get(sessionId)
    if (known && known.userId !== owner.id) return { refused: 'somebody has a session of this id here' }
    // A session may be older than its first message.
    const isOld = importedAt !== undefined && instantOf(first, 'created_at') < importedAt
    if (!known && owner.state === 'known' && isOld)
      return { refused: 'it has been deleted here since the import before' }
    return { conversation: conversationOf(owner, known, { sessionId, chatflowId, createdAt, document }) }
  }

  function conversationOf(owner: Person, known: SessionRow | undefined, own: Own): Conversation {
    const { sessionId, chatflowId, createdAt, document } = own
    const topic = textOf(document?.topic)
    const chatId = parts.newId()
    const empty: SessionRow = {
      id: sessionId,
      userId: owner.id,
      chatflowId,
      topic: topic === undefined ? '' : parts.history.topicOf(topic),
      messageCount: 0,
      createdAt,
      lastActivityAt: createdAt,
      // What Flowise remembers under the old ids may be another user's: the proxy let clients choose them.
      upstream: { sessionId: parts.newId(), chatId, usedChatIds: [chatId] },
      isUnclean: false
    }
    return { session: known ?? empty, isStored: known !== undefined, isChanged: false, present: 0 }
  }

  async function takePart(part: Part<State>): Promise<void> {
    const { state } = part
    if (part.isFirst) Object.assign(state, await begin(part))
    const { conversation, refused = '' } = state
    for (const document of conversation ? [] : part.messages) counters.messages.skip(labelOf(document), refused)
    if (conversation) await takeMessages(conversation, part)
    if (part.isLast) end(part)
  }

  async function takeMessages(conversation: Conversation, { messages }: Part<State>): Promise<void> {
    const own = messages.flatMap((document) => ownMessage(conversation.session.userId, document))
    const chatflow = await catalogue.get(conversation.session.chatflowId)
    const written = await writer.write(
      conversation,
      own.flatMap((message) => entryOf(message, chatflow))
    )
    for (const { fileIds } of written) for (const fileId of fileIds) nameFile(fileId, conversation.session)
  }

  function ownMessage(userId: string, document: SourceDocument): SourceMessage[] {
    const message = readMessage(document)
    if ('unusable' in message) counters.messages.skip(labelOf(document), message.unusable)
    else if (people.find(message.user)?.id !== userId)
      counters.messages.skip(message.id, "it is another user's than the session")
    else return [message]
    return []
  }

  function entryOf(message: SourceMessage, chatflow: ChatflowRow | undefined): Entry[] {
    const { id, role, text, fileIds, at, events, metadata } = message
    const base = { id, fileIds, at }
    if (role === 'user') return [{ ...base, question: text }]
    const answer = parts.history.readAnswer(events, metadata, chatflow)
    if (answer.text !== '' || answer.data) return [{ ...base, answer }]
    counters.messages.skip(id, 'it is an answer without anything in it')
    return []
  }

  function nameFile(fileId: string, { id, userId }: SessionRow): void {
    const owners = files.get(fileId) ?? []
    const own = owners.find((owner) => owner.userId === userId)
    if (own) own.sessionIds.add(id)
    else files.set(fileId, [...owners, { userId, sessionIds: new Set([id]) }])
  }

  /** A conversation counts once; it may have several documents, or none. */
  function end({ sessionId, sessions: documents, state: { conversation, refused } }: Part<State>): void {
    const counter = counters.sessions
    const [first, ...others] = documents.map(labelOf)
    if (first === undefined) counter.read()
    const label = first ?? sessionId
    if (refused !== undefined) counter.skip(label, refused)
    else if (!conversation?.isStored) counter.skip(label, NO_MESSAGE)
    else if (conversation.isChanged) counter.imported()
    else counter.unchanged()
    for (const other of others) counter.skip(other, `another document of the session ${sessionId}`)
  }

  await inParallel(
    conversationsOf<State>(parts.source, report, () => ({})),
    async (part) => {
      try {
        await part.before
        await takePart(part)
      } finally {
        part.done()
      }
    }
  )
  return files
}

interface Own {
  sessionId: string
  chatflowId: string
  createdAt: number
  document: SourceDocument | undefined
}
