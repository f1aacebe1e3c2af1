import type { CollectionSpec, Document } from './port.ts'

/**
 * A file of a user. id is also the id of its bytes, which are a blob. The row is there before the bytes and goes after
 * them, so a blob without a row belongs to nobody.
 */
export interface FileRow extends Document {
  userId: string
  /** As its owner calls it: no path, no control characters. */
  name: string
  /** One of the allowed types, found in the bytes. */
  mime: string
  sizeBytes: number
  /** Lower-case hex, of the bytes. */
  sha256: string
  /** Only what is `kept` is there for anybody. */
  state: 'arriving' | 'kept' | 'leaving'
  /** When that state began. */
  stateAt: number
  /** Counts the changes of this row, from 0. */
  version: number
  /** Whether a message has ever named it; one that none has is deleted after a day. */
  isUsed: boolean
  /** The sessions it belongs to, by fileSessionKey of their ids; it goes with the last of them. */
  sessions: Record<string, string>
  createdAt: number
}

/** id is the user id: what the files of a user come to, in whatever state they are. Rows put in past it need a recount. */
export interface FileUsageRow extends Document {
  bytes: number
  files: number
  /** Counts the changes of the numbers above. */
  revision: number
  /** Ids of files that are no longer counted and whose rows are about to go. */
  released: Record<string, true>
}

/** The files of users; their bytes are blobs. */
export const fileCollections: CollectionSpec[] = [
  {
    name: 'files',
    indexes: [
      ['userId', 'createdAt'],
      ['state', 'stateAt'],
      ['state', 'isUsed', 'createdAt']
    ],
    appendedFrom: ['file_usage']
  },
  { name: 'file_usage', nonNegative: ['bytes', 'files'] }
]
