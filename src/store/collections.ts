import { accountingCollections } from './accounting-rows.ts'
import { fileCollections } from './file-rows.ts'
import { keyCollections } from './key-rows.ts'
import type { CollectionSpec, Document } from './port.ts'
import { surfaceCollections } from './surface-rows.ts'
import { usageCollections } from './usage-rows.ts'
import type { Migration } from './versions.ts'

export type { FileRow, FileUsageRow } from './file-rows.ts'

export type Role = 'admin' | 'premium' | 'user'

/** Members ending in Key are lower-cased copies for comparison; a deleted user stays as a tombstone. */
export interface UserRow extends Document {
  username: string | null
  /** Absent when the username is. */
  usernameKey?: string
  /** Trimmed and lower-cased; absent when unknown or taken by another user. */
  email?: string
  role: Role
  isActive: boolean
  /** `local`: password here, role from this row. `token`: seen first through a token minted elsewhere. */
  origin: 'local' | 'token'
  externalId: string | null
  /** bcrypt; absent for users without a local password. */
  passwordHash?: string
  /** Tokens without a session that were issued before this instant are revoked (epoch ms). */
  tokensValidFromAt: number
  /** Mark of a change under way that would take this administrator away (src/auth/user-changes.ts). */
  leavingAdmin?: string
  deletedAt?: number
  createdAt: number
  updatedAt: number
  /** When the role of the row was true: the issue of the token that said it, or the read from the auth service. */
  roleAt?: number
  /** When the auth service last said it. */
  roleReadAt?: number
}

/** A login session: all tokens that came from one login. id is the `sid` claim. */
export interface TokenFamilyRow extends Document {
  userId: string
  createdAt: number
  /** When the newest refresh token of the family expires. */
  expiresAt: number
  revokedAt?: number
  /** The current refresh token, sealed: it is only kept to be sent to the service's logout. */
  sealedToken?: string
  /** When the service is to be told next that the session has ended; absent: it need not be. */
  logoutAt?: number
  /** How often it has been told in vain. */
  logoutTries?: number
}

/** id is the SHA-256 of the token. */
export interface RefreshTokenRow extends Document {
  familyId: string
  userId: string
  expiresAt: number
  createdAt: number
  /** Set once, when the token is exchanged; a second use is theft or a lost answer, and ends the family. */
  rotatedAt?: number
  /** The process that did. */
  rotatedBy?: string
  /** An access token that names no session itself, by the hash of its claims. */
  isAccess?: true
}

/** An access token without a known session that was revoked; id is its SHA-256. */
export interface RevokedTokenRow extends Document {
  userId: string
  expiresAt: number
}

/** id is the Flowise id. */
export interface ChatflowRow extends Document {
  name: string
  description: string | null
  category: string | null
  /** CHATFLOW, AGENTFLOW, MULTIAGENT, ASSISTANT as Flowise names it. */
  type: string
  deployed: boolean
  isPublic: boolean
  status: 'active' | 'deleted' | 'error'
  syncError: string | null
  syncedAt: number
  createdAt: number
  updatedAt: number
  /** Flat price in micro-credits; absent: the default price. */
  priceMicro?: number
  /** Price of an upsert in micro-credits; absent: nobody may. */
  upsertPriceMicro?: number
  /** Metered price in micro-credits; absent: flat. */
  metered?: { per1kTokensMicro: number; per1kOutputMicro?: number; floorMicro: number; ceilingMicro: number }
  /** Top-level keys of overrideConfig that pass; absent: none. */
  overrideAllow?: string[]
  /** What it may be called instead of its id, in this installation. */
  alias?: string
  /** What becomes of the system messages of clients made for OpenAI; absent: question. */
  systemMessages?: 'question' | 'ignore' | 'refuse'
  /** Origins, lower case, of the pages that may use it with keys; absent: all. */
  allowedOrigins?: string[]
  /** For whom its answers are cut; absent: member. */
  redaction?: 'public' | 'member' | 'developer'
  /** How long a stream goes on without any client, whichever path it came by; absent: the default, where it can be resumed. */
  onDisconnect?: { continueMs: number }
  /** Members of Flowise's JSON that reach the client; absent: the default list. */
  responseFields?: string[]
  /** Flowise events that reach the client; absent: the default list. */
  streamEvents?: string[]
}

/** id is grantId(userId, chatflowId). */
export interface GrantRow extends Document {
  userId: string
  chatflowId: string
  isActive: boolean
  assignedAt: number
  assignedBy: string
  updatedAt: number
}

export interface SessionRow extends Document {
  userId: string
  chatflowId: string
  topic: string
  messageCount: number
  createdAt: number
  lastActivityAt: number
  /** What Flowise knows the conversation by; never told to a client. */
  upstream: { sessionId: string; chatId: string; usedChatIds: string[] }
  /** True from the start of a run until Flowise's `end` was seen: the next run then needs a new chatId. */
  isUnclean: boolean
}

/** `position` counts from 0 within the session: the order of the conversation. */
export interface MessageRow extends Document {
  sessionId: string
  userId: string
  chatflowId: string
  role: 'user' | 'assistant'
  content: string
  status: 'complete' | 'incomplete' | 'failed'
  /** Of an answer that failed: the error that the client was told. */
  code?: string
  /** Of an answer that is still coming: the number of times that what there is of it was stored. */
  part?: number
  position: number
  createdAt: number
  /** The allowed non-text members of the answer. */
  data?: Record<string, unknown>
  dataOmitted?: boolean
  truncated?: boolean
  fileIds?: string[]
  /** What Flowise calls an answer; never told to a client. */
  upstreamId?: string
}

/** One hold: money set aside for one attempt of one run (design: credits). */
export interface HoldState {
  attempt: string
  amount: number
  used: number
  extensions: number
  expiresAt: number
  chatflowId: string
  /** Sub-budgets that were reduced with the hold. */
  limits?: string[]
}

/** id is the user id. Amounts are micro-credits; posted balance = available + held. */
export interface AccountRow extends Document {
  status: 'active' | 'frozen'
  available: number
  held: number
  holdCount: number
  grantVersion: number
  /** Granted once, right after the account is made. */
  opening: number
  holds: Record<string, HoldState>
  limits: Record<string, number>
  createdAt: number
  updatedAt: number
}

/** hold = R; release and charge = T. Immutable. `delta` is the change of the posted balance in micro-credits. */
export interface LedgerEntryRow extends Document {
  accountId: string
  kind: 'grant' | 'adjust' | 'hold' | 'release' | 'charge'
  delta: number
  /** True when delta is not 0: the rows an account's owner is shown. */
  isPosting: boolean
  /** Run id, or the key of a grant. */
  requestId: string
  attempt: string | null
  at: number
  meta: Record<string, string | number | boolean | null>
}

/** A keyed request. id = hash(account, key): unique by construction. */
export interface RequestRow extends Document {
  accountId: string
  /** Run id of the prediction, or of the credit change. */
  rid: string
  bodyHash: string
  /** Of the prediction's answer; absent for credit changes. */
  messageId?: string
  state: 'running' | 'done'
  receipt?: unknown
  createdAt: number
  expiresAt: number
  /** When its process last said that it still works on it; absent: at createdAt. */
  aliveAt?: number
}

export interface AuditRow extends Document {
  actorId: string
  action: string
  target: string
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
  requestId: string
  createdAt: number
}

/** Facts about the installation (schema version, last sync). */
export interface MetaRow extends Document {
  value: unknown
}

/** Unique keys and indexes of every collection, created at start by both adapters. */
export const collections: CollectionSpec[] = [
  { name: 'meta' },
  {
    name: 'users',
    unique: [['usernameKey'], ['email']],
    indexes: [['role', 'isActive'], ['createdAt']],
    isMarked: true
  },
  { name: 'token_families', isMarked: true, indexes: [['userId'], ['expiresAt'], ['logoutAt']] },
  {
    name: 'refresh_tokens',
    indexes: [['familyId'], ['expiresAt']],
    appendedFrom: ['token_families', 'refresh_tokens']
  },
  { name: 'revoked_tokens', indexes: [['expiresAt']] },
  { name: 'chatflows', unique: [['alias']], indexes: [['status'], ['createdAt']], isMarked: true },
  {
    name: 'grants',
    isMarked: true,
    indexes: [
      ['userId', 'isActive'],
      ['chatflowId', 'isActive', 'assignedAt']
    ]
  },
  { name: 'sessions', indexes: [['userId', 'createdAt']] },
  { name: 'messages', indexes: [['sessionId', 'position']], appendedFrom: ['sessions'] },
  ...fileCollections,
  {
    name: 'accounts',
    indexes: [['holdCount']],
    partial: [{ members: ['holdCount'], least: { holdCount: 1 } }],
    nonNegative: ['available', 'held', 'holdCount']
  },
  {
    name: 'ledger_entries',
    indexes: [
      ['accountId', 'at'],
      ['kind', 'at']
    ],
    appendedFrom: ['accounts']
  },
  ...accountingCollections,
  ...surfaceCollections,
  ...keyCollections,
  ...usageCollections,
  { name: 'requests', indexes: [['expiresAt']] },
  {
    name: 'audit_entries',
    indexes: [['createdAt'], ['actorId', 'createdAt'], ['target', 'createdAt'], ['action', 'createdAt']],
    appendedFrom: ['users', 'chatflows', 'grants', 'accounts', 'accounting_accounts', 'api_keys']
  }
]

/** The steps from older forms of the collections to the present ones, in any order. */
export const migrations: Migration[] = []
