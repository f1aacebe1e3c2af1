import type { Seen } from './prediction-reply.ts'
import type { Plan } from './question.ts'

/** One question of a user, and all that came back. */
export interface Asked {
  userId: string
  plan: Plan
  key: string | undefined
  isStream: boolean
  tries: Seen[]
  /** Its session was told to stop. */
  isStopped: boolean
}

/** One change of credits that the administrator wanted. */
export interface Changed {
  userId: string
  key: string
  action: 'allocate' | 'adjust'
  amount: number
  /** `acknowledged` by 200, `refused` for good, or nobody knows. */
  result: 'acknowledged' | 'refused' | 'unknown'
  tries: number
}

/** What the clients did and saw: the other side of the books. */
export interface Journal {
  asked: Asked[]
  changes: Changed[]
  /** Sessions whose deletion was asked for, acknowledged or not. */
  deleted: Set<string>
  /** When the store was away (epoch ms). */
  outages: { from: number; to: number }[]
  /** What no client should ever see. */
  complaints: string[]
  counts: Map<string, number>
  count(what: string): void
}

export function createJournal(): Journal {
  const counts = new Map<string, number>()
  return {
    asked: [],
    changes: [],
    deleted: new Set(),
    outages: [],
    complaints: [],
    counts,
    count: (what) => void counts.set(what, (counts.get(what) ?? 0) + 1)
  }
}
