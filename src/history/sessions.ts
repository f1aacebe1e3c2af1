import type { SessionRow } from '../store/collections.ts'
import type { Change, Guard, Store } from '../store/port.ts'
import { isOf, type KnownSessions, type Owner } from './known-sessions.ts'
import { type Answer, answerRow, messagesOf, questionRow } from './messages.ts'
import { createPreparedChats } from './prepared.ts'
import { topicOf } from './text.ts'

const MAX_TRIES = 10

/** The user's half of a turn, before Flowise is called. */
export interface Question {
  /** As read before, by whichever way; undefined when the id was nobody's. */
  session: SessionRow | undefined
  sessionId: string
  userId: string
  chatflowId: string
  messageId: string
  question: string
  fileIds?: string[] | undefined
  /** The client has named the session: only such a chat can have been prepared. */
  isNamed: boolean
  /** What Flowise will know this session by from now on, unless it was prepared; a new one is undefined. */
  upstreamOf: (session: SessionRow | undefined) => SessionRow['upstream']
  now: number
}

/** The assistant's half, when the prediction has ended. */
export interface EndedAnswer extends Answer {
  /** As the question has left it. */
  session: SessionRow
  /** Flowise has finished with it. */
  isClean: boolean
  now: number
}

/** The writing half of the history: what a prediction leaves in it, one guarded write per step. */
export interface Sessions {
  session(sessionId: string): Promise<SessionRow | undefined>
  /**
   * The same for the next question of its owner, which `begin` stores: it may be as the last answer of this process left it.
   */
  sessionToContinue(sessionId: string, owner: Owner): Promise<SessionRow | undefined>
  /**
   * Stores the question and makes or updates its session, both or neither; answers the session as stored.
   * Undefined when somebody else wrote to the session since it was read.
   */
  begin(question: Question): Promise<{ session: SessionRow } | undefined>
  /**
   * Stores the answer to a begun question; repeating it stores nothing twice.
   * False when the session was deleted meanwhile: then nothing is stored.
   */
  answer(ended: EndedAnswer): Promise<boolean>
  /**
   * Stores what there is so far of the answer to a begun question, which `answer` replaces; `part` counts from 1.
   * False when the session was deleted meanwhile.
   */
  answerSoFar(part: Answer & { session: SessionRow; part: number; now: number }): Promise<boolean>
  /** Marks a begun question as one that got no output. */
  failed(ended: { session: SessionRow; userMessageId: string; isClean: boolean }): Promise<void>
}

/** Sessions and what is written into them, in this store; `known` where reading them is a way to another machine. */
export function createSessions(store: Store, known?: KnownSessions): Sessions {
  const sessions = store.collection<SessionRow>('sessions')
  const messages = messagesOf(store)
  const prepared = createPreparedChats(store)

  async function make(asked: Question) {
    const { sessionId, userId, chatflowId, question, now, messageId, fileIds, isNamed } = asked
    // What came before the first question, Flowise knows by these ids.
    const chat = isNamed ? await prepared.take({ userId, chatflowId, sessionId }) : undefined
    const upstream = chat ?? asked.upstreamOf(undefined)
    const session: SessionRow = {
      id: sessionId,
      userId,
      chatflowId,
      topic: topicOf(question),
      messageCount: 0,
      createdAt: now,
      lastActivityAt: now,
      upstream,
      isUnclean: true
    }
    const document = questionRow(session, { id: messageId, text: question, now, fileIds })
    session.messageCount = 1
    return (await sessions.insert(session, [{ collection: 'messages', document }])) ? { session } : undefined
  }

  async function resume(before: SessionRow, { question, upstreamOf, now, messageId, fileIds }: Question) {
    const upstream = upstreamOf(before)
    const document = questionRow(before, { id: messageId, text: question, now, fileIds })
    const set: Partial<SessionRow> = { lastActivityAt: now, isUnclean: true }
    if (upstream !== before.upstream) set.upstream = upstream
    const change: Change = { set: { ...set }, inc: { messageCount: 1 } }
    const done = await sessions.update(before.id, unchanged(before), change, [{ collection: 'messages', document }])
    return done ? { session: { ...before, ...set, messageCount: before.messageCount + 1 } } : undefined
  }

  /** The whole answer in the place of a part of it; a part that lands late finds no part any more. */
  async function replace({ session, isClean, now, ...answer }: EndedAnswer) {
    const { id, content, status, data, dataOmitted, truncated, code } = answerRow(session, answer, now)
    const rest = Object.entries({ data, dataOmitted, truncated, code }).filter(([, value]) => value !== undefined)
    await messages.update(
      id,
      { equal: { sessionId: session.id } },
      { set: { content, status, ...Object.fromEntries(rest) }, unset: ['part', ...(data ? [] : ['data'])] }
    )
    const ours = { ...session, messageCount: session.messageCount + 1 }
    const left = { lastActivityAt: now, isUnclean: !isClean }
    if (await sessions.update(session.id, unchanged(ours), { set: left })) known?.keep({ ...ours, ...left })
    return true
  }

  /** What is kept of a session may be old; what was read and has changed since is another run's. */
  async function resumeKnown(before: SessionRow, question: Question) {
    const begun = await resume(before, question)
    if (begun) return begun
    known?.distrust(before.id)
    const current = await sessions.get(before.id)
    if (!current) return make(question)
    return isOf(current, question) ? resume(current, question) : undefined
  }

  return {
    session: (sessionId) => sessions.get(sessionId),

    sessionToContinue(sessionId, owner) {
      const row = known?.find(sessionId, owner)
      return row ? Promise.resolve(row) : sessions.get(sessionId)
    },

    begin(question) {
      const { session } = question
      if (!session) return make(question)
      if (known?.take(session)) return resumeKnown(session, question)
      known?.announce(session.id)
      return resume(session, question)
    },

    async answer(ended) {
      const { session, isClean, now, messageId } = ended
      let current: SessionRow | undefined = session
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        if (current === undefined || !isSame(current, session)) return false
        // A later run may have begun when a write is repeated: then the session's state is that run's business.
        const isOurs = current.messageCount === session.messageCount
        const set = isOurs ? { lastActivityAt: now, isUnclean: !isClean } : { lastActivityAt: now }
        const append = [{ collection: 'messages', document: answerRow(current, ended, now) }]
        const done = await sessions.update(session.id, unchanged(current), { set, inc: { messageCount: 1 } }, append)
        if (done && isOurs) known?.keep({ ...current, ...set, messageCount: current.messageCount + 1 })
        if (done) return true
        // A part of it, or all of it by a write whose answer was lost.
        if (await messages.get(messageId)) return replace(ended)
        current = await sessions.get(session.id)
      }
      return false
    },

    async answerSoFar(answer) {
      const { session, part, now } = answer
      const row = { ...answerRow(session, answer, now), part }
      const { content, data } = row
      const isOlder: Guard = { equal: { sessionId: session.id }, lt: { part } }
      const later =
        part > 1 && (await messages.update(row.id, isOlder, { set: { content, part, ...(data && { data }) } }))
      if (later) return true
      const done = await sessions.update(session.id, unchanged(session), { inc: { messageCount: 1 } }, [
        { collection: 'messages', document: row }
      ])
      return done || (await messages.get(row.id)) !== undefined
    },

    async failed({ session, userMessageId, isClean }) {
      await Promise.all([
        messages.update(userMessageId, { equal: { sessionId: session.id } }, { set: { status: 'failed' } }),
        sessions.update(session.id, unchanged(session), { set: { isUnclean: !isClean } })
      ])
    }
  }
}

/** A session id can be used again after deletion; what Flowise knows it by is new each time and tells the two apart. */
function isSame(one: SessionRow, other: SessionRow): boolean {
  return one.userId === other.userId && one.upstream.sessionId === other.upstream.sessionId
}

function unchanged({ userId, messageCount, upstream }: SessionRow): Guard {
  return { equal: { userId, messageCount, 'upstream.sessionId': upstream.sessionId } }
}
