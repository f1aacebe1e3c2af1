import type { CollectionSpec, Document } from './port.ts'

/** A key of a user, for programs. The key itself is kept nowhere. */
export interface ApiKeyRow extends Document {
  userId: string
  name: string
  description: string | null
  /** SHA-256 of the whole key. */
  secretHash: string
  /** Enough of the key to recognise it. */
  preview: string
  /** The key that this one replaced, and until when it works beside it. */
  previous?: { hash: string; validUntil: number }
  scopes: ('chat' | 'read')[]
  /** Null: whatever the user may use. */
  chatflowIds: string[] | null
  /** What its budget was last set to, micro-credits; what is left of it is in the account of the user. */
  budgetMicro: number | null
  requestsPerMinute: number | null
  createdAt: number
  /** Absent: never. */
  expiresAt?: number
  /** Exact to the minute; 0: never. */
  lastUsedAt: number
  revokedAt?: number
  /** Its place among the keys of the user, of which there are so many; absent when it has given it up. */
  place?: string
}

/** The keys of users. */
export const keyCollections: CollectionSpec[] = [
  {
    name: 'api_keys',
    unique: [['place']],
    indexes: [['userId', 'createdAt'], ['createdAt'], ['revokedAt'], ['expiresAt']],
    isMarked: true
  }
]
