import type { Blobs } from '../blobs/port.ts'
import type { Answer } from '../history/messages.ts'
import type { ChatflowRow, FileRow, MessageRow, Role, SessionRow, UserRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import type { Source } from './source.ts'

/** What an import works with, and what the nouns whose data it brings say about that data. */
export interface ImportParts {
  source: Source
  target: Store
  blobs: Pick<Blobs, 'write'>
  /** Epoch ms. */
  now: () => number
  /** Of new rows of the target that name nothing in the source. */
  newId: () => string
  users: UserRules
  credits: CreditRules
  permissions: PermissionRules
  history: HistoryRules
  files: FileRules
}

export interface UserRules {
  /** Users are those of an auth service: passwords and roles are its business. */
  isManagedExternally: boolean
  roleOf(word: unknown): Role
  normalEmail(email: string): string
  /** Of a normalised address. */
  isEmail(email: string): boolean
  usernameKeyOf(username: string): string
  isPlainText(value: unknown): value is string
}

export interface CreditRules {
  /** False: the balances are kept elsewhere. */
  isKeptHere: boolean
  /** Credits as micro-credits. @throws RangeError */
  toMicro(credits: number): number
  /** Opens the account of a user with this amount, which may be 0; false if that was done before. @throws validation_error */
  grant(user: UserRow, grant: { key: string; amountMicro: number; note: string }): Promise<boolean>
}

export interface PermissionRules {
  grantId(key: { userId: string; chatflowId: string }): string
}

export interface HistoryRules {
  topicOf(question: string): string
  questionRow(session: SessionRow, message: { id: string; text: string; now: number; fileIds?: string[] }): MessageRow
  answerRow(session: SessionRow, answer: Answer, now: number): MessageRow
  /** What an answer was, from its events and what was stored beside them. */
  readAnswer(
    events: readonly AnswerEvent[],
    metadata: unknown,
    chatflow: ChatflowRow | undefined
  ): Pick<Answer, 'text' | 'data' | 'dataOmitted' | 'truncated'>
}

/** An event of Flowise as the proxy stored it. */
export interface AnswerEvent {
  event: string
  data: unknown
}

export interface FileRules {
  maxFileBytes: number
  safeName(name: string | undefined): string
  sessionKey(sessionId: string): string
  sha256(bytes: Buffer): string
  /** The type of these bytes, if possible the one that is claimed; undefined if it is none that is taken. */
  typeOf(bytes: Buffer, claimed: string | undefined): Promise<string | undefined>
  /** Makes the row and counts it. */
  take(userId: string, rows: FileRow[]): Promise<boolean>
}
