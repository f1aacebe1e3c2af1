import type { Bus } from '../bus/port.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import { allOf } from '../store/collect.ts'
import type { MessageRow, SessionRow } from '../store/collections.ts'
import type { Position } from '../store/cursor.ts'
import type { Guard, Store } from '../store/port.ts'
import { createKnownSessions, isOf } from './known-sessions.ts'
import { listMessages, messagesOf, removeMessages } from './messages.ts'
import { type ChatPlace, createPreparedChats, type PreparedChats, type Upstream } from './prepared.ts'
import { createSessions, type Sessions } from './sessions.ts'

const LEASE_MS = 60_000
const PAGE = 500

interface Page {
  after: Position | undefined
  limit: number
}

/** The conversations of all users: what predictions write, and what their owners read and delete. */
export interface History extends Sessions, Pick<PreparedChats, 'purge'> {
  /** @throws session_not_found also for a session of somebody else */
  owned(userId: string, sessionId: string): Promise<SessionRow>
  /** An answer of the assistant in a session of the user; undefined where there is none. */
  answerOf(userId: string, messageId: string): Promise<MessageRow | undefined>
  /**
   * What Flowise knows a chat by, or will from its first question on; undefined for one that nothing is known of.
   * @throws session_not_found where the name is taken by somebody else or for another chatflow
   */
  upstreamOf(place: ChatPlace): Promise<Upstream | undefined>
  /** The same; a chat that nothing is known of is prepared with `fresh`. @throws session_not_found */
  prepare(place: ChatPlace, fresh: Upstream, now: number): Promise<Upstream>
  /** Newest first. */
  sessionsOf(userId: string, page: Page & { chatflowId?: string | undefined }): Promise<SessionRow[]>
  /** In the order of the conversation. The caller has made sure of the owner. */
  messagesOf(sessionId: string, page: Page): Promise<MessageRow[]>
  /**
   * Deletes a session with its messages and files. The row of the session goes last, so after a crash it can be deleted again.
   * @throws session_not_found, session_busy (then nothing is deleted)
   */
  remove(userId: string, sessionId: string): Promise<Erased>
  /**
   * Deletes all sessions of a user; with `isForced` also those in use, whose runs then store nothing more.
   * @throws session_busy when a prediction is running in one of them (then nothing is deleted)
   */
  removeAll(userId: string, options?: { isForced?: boolean }): Promise<Erased & { sessionsDeleted: number }>
}

/** What went with a session, or with several. */
export interface Erased {
  messagesDeleted: number
  filesDeleted: number
}

export interface HistoryOptions {
  store: Store
  bus: Bus
  ids: Ids
  /** Removes the files of a session; answers how many. */
  removeFiles: (userId: string, sessionId: string) => Promise<number>
  /** Removes what was said about its answers. */
  removeFeedback?: (sessionId: string) => Promise<unknown>
  /** Told of what is gone; Flowise may then forget it too. */
  onDeleted: (chats: KnownChat[]) => void
}

/** What Flowise has heard of: a session, or a chat that was prepared for one. */
export type KnownChat = Pick<SessionRow, 'chatflowId' | 'upstream'>

/** The key of the lease that a prediction and a deletion take on a session. */
export function sessionLease(sessionId: string): string {
  return `session:${sessionId}`
}

/** The history in this store. */
export function createHistory(options: HistoryOptions): History {
  const { store, bus, ids, removeFiles, removeFeedback, onDeleted } = options
  const sessions = store.collection<SessionRow>('sessions')
  const messages = messagesOf(store)
  const prepared = createPreparedChats(store)
  const known = store.kind === 'mongodb' ? createKnownSessions(bus) : undefined

  /** Runs `work` while no prediction can begin in any of the sessions. */
  async function fenced<T>(rows: SessionRow[], work: (owner: string) => Promise<T>): Promise<T> {
    const owner = ids.run()
    const taken: SessionRow[] = []
    try {
      for (const row of rows) {
        if (!(await bus.acquire(sessionLease(row.id), owner, LEASE_MS))) throw new AppError('session_busy')
        taken.push(row)
      }
      return await work(owner)
    } finally {
      await Promise.all(taken.map((row) => bus.release(sessionLease(row.id), owner)))
    }
  }

  /** Messages and files first. A late answer that slips in between changes the count, and the round is repeated. */
  async function erase({ id, userId }: SessionRow): Promise<Erased & { deleted: SessionRow | undefined }> {
    const erased: Erased = { messagesDeleted: 0, filesDeleted: 0 }
    for (;;) {
      const current = await sessions.get(id)
      if (current?.userId !== userId) return { ...erased, deleted: undefined }
      erased.messagesDeleted += await removeMessages(messages, id)
      erased.filesDeleted += await removeFiles(userId, id)
      await removeFeedback?.(id)
      const seen: Guard = { equal: { userId, messageCount: current.messageCount } }
      if (!(await sessions.remove(id, seen))) continue
      known?.announce(id)
      return { ...erased, deleted: current }
    }
  }

  async function eraseAll(rows: SessionRow[], renew: (row: SessionRow) => Promise<boolean>) {
    const gone: SessionRow[] = []
    const all: Erased = { messagesDeleted: 0, filesDeleted: 0 }
    try {
      for (const row of rows) {
        if (!(await renew(row))) throw new AppError('session_busy')
        const erased = await erase(row)
        all.messagesDeleted += erased.messagesDeleted
        all.filesDeleted += erased.filesDeleted
        if (erased.deleted) gone.push(erased.deleted)
      }
    } finally {
      if (gone.length > 0) onDeleted(gone)
    }
    return { sessionsDeleted: gone.length, ...all }
  }

  async function owned(userId: string, sessionId: string): Promise<SessionRow> {
    const session = await sessions.get(sessionId)
    if (session?.userId !== userId) throw new AppError('session_not_found')
    return session
  }

  async function begunAt({ userId, chatflowId, sessionId }: ChatPlace): Promise<Upstream | undefined> {
    const session = await sessions.get(sessionId)
    if (session && !isOf(session, { userId, chatflowId })) throw new AppError('session_not_found')
    return session?.upstream
  }

  return {
    ...createSessions(store, known),
    owned,
    purge: prepared.purge,
    upstreamOf: async (place) => (await begunAt(place)) ?? prepared.find(place),
    prepare: async (place, fresh, now) => (await begunAt(place)) ?? prepared.prepare(place, fresh, now),

    async answerOf(userId, messageId) {
      const message = await messages.get(messageId)
      return message?.userId === userId && message.role === 'assistant' ? message : undefined
    },

    sessionsOf: (userId, { chatflowId, after, limit }) =>
      sessions.list({
        where: { equal: { userId, ...(chatflowId === undefined ? {} : { chatflowId }) } },
        order: { by: 'createdAt', direction: 'desc' },
        ...(after ? { after } : {}),
        limit
      }),

    messagesOf: (sessionId, page) => listMessages(messages, sessionId, page),

    async remove(userId, sessionId) {
      const session = await owned(userId, sessionId)
      const { sessionsDeleted, ...erased } = await fenced([session], () => eraseAll([session], async () => true))
      if (sessionsDeleted === 0) throw new AppError('session_not_found')
      return erased
    },

    async removeAll(userId, { isForced = false } = {}) {
      const unused = await prepared.removeAllOf(userId)
      if (unused.length > 0) onDeleted(unused)
      const rows = await allOf(sessions, { where: { equal: { userId } }, limit: PAGE })
      if (isForced) return eraseAll(rows, async () => true)
      return fenced(rows, (owner) => eraseAll(rows, ({ id }) => bus.acquire(sessionLease(id), owner, LEASE_MS)))
    }
  }
}
