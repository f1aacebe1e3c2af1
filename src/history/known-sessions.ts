import type { Bus } from '../bus/port.ts'
import type { SessionRow } from '../store/collections.ts'

/** The one that was left longest ago gives way. */
const MAX_SESSIONS = 10_000
const CHANGES = 'continued sessions'

/**
 * Sessions as the last answer of this process has left them, for whom reading is a way to another machine. One that has gone on
 * elsewhere costs the next question here some more ways and nothing else: its first write asks for what is kept (ADR 24).
 */
export interface KnownSessions {
  /** Undefined also for a session of somebody else. */
  find(sessionId: string, owner: Owner): SessionRow | undefined
  /** What a write has left. */
  keep(row: SessionRow): void
  /** Forgets the row, which is about to change; true if it is the one that is kept. */
  take(row: SessionRow): boolean
  /** The kept row was an old one although nobody has told: from now on this session is read. */
  distrust(sessionId: string): void
  /** It changes by somebody who has read it, or is gone: no process need keep what it has of it. */
  announce(sessionId: string): void
}

export interface Owner {
  userId: string
  chatflowId: string
}

/** Whether this is a session of theirs. */
export function isOf(session: Owner, { userId, chatflowId }: Owner): boolean {
  return session.userId === userId && session.chatflowId === chatflowId
}

/** The sessions that are known in this process. */
export function createKnownSessions(
  bus: Pick<Bus, 'publish' | 'subscribe'>,
  { maxSessions = MAX_SESSIONS }: { maxSessions?: number } = {}
): KnownSessions {
  /** Null: one that is read each time. */
  const known = new Map<string, SessionRow | null>()

  function put(sessionId: string, row: SessionRow | null): void {
    known.delete(sessionId)
    if (known.size >= maxSessions) {
      const [oldest] = known.keys()
      if (oldest !== undefined) known.delete(oldest)
    }
    known.set(sessionId, row)
  }

  bus.subscribe(CHANGES, (sessionId) => {
    if (known.get(sessionId)) known.delete(sessionId)
  })

  return {
    find(sessionId, owner) {
      const row = known.get(sessionId)
      return row && isOf(row, owner) ? row : undefined
    },
    keep(row) {
      if (known.get(row.id) !== null) put(row.id, row)
    },
    take: (row) => known.get(row.id) === row && known.delete(row.id),
    distrust: (sessionId) => put(sessionId, null),
    announce: (sessionId) => bus.publish(CHANGES, sessionId)
  }
}
