import type { Ids } from '../../src/ids.ts'
import { grantId } from '../../src/permissions/grants.ts'
import type {
  AccountRow,
  GrantRow,
  LedgerEntryRow,
  MessageRow,
  SessionRow,
  TokenFamilyRow,
  UserRow
} from '../../src/store/collections.ts'
import type { Document } from '../../src/store/port.ts'
import { flows } from '../flows.ts'

const DAY_MS = 86_400_000
const PRICE = 1_000_000
const TURNS_PER_SESSION = 5
/** Question and answer; hold and charge. */
const ROWS_PER_TURN = 2
/** Of the rows, so many are of those who ask. */
const OWN_SHARE = 0.01
const chatflowId = flows.answer.id

/** How much there is of everything. */
export interface Size {
  accounts: number
  /** Ledger entries, and as many messages. */
  rows: number
  /** Of the one chatflow that is asked. */
  grants: number
}

export interface Crowd {
  /** Users in the making, one per account; the first ones get the grants. */
  userIds: readonly string[]
  /** Those whose predictions will be measured. */
  askers: readonly string[]
  ids: Ids
}

/** A document and where it goes. */
export interface Row {
  collection: string
  document: Document
}

/** The rows of an installation of this size, in no order that anybody should rely on. */
export function* rowsOf({ accounts, rows, grants }: Size, crowd: Crowd): Generator<Row> {
  const now = Date.now()
  for (const id of crowd.userIds.slice(0, accounts)) yield* userRows(id, now)
  for (const userId of crowd.userIds.slice(0, grants)) yield* grantRows(userId, now)
  for (let turn = 0; turn * ROWS_PER_TURN < rows; turn += TURNS_PER_SESSION) {
    const among = Math.random() < OWN_SHARE ? crowd.askers : crowd.userIds
    const userId = among[Math.floor(Math.random() * among.length)] ?? ''
    yield* sessionRows(crowd.ids, userId, now - DAY_MS + Math.floor((turn * ROWS_PER_TURN * DAY_MS) / rows))
  }
}

function* userRows(id: string, now: number): Generator<Row> {
  const user: UserRow = {
    id,
    username: id,
    usernameKey: id,
    email: `${id}@example.com`,
    role: 'user',
    isActive: true,
    origin: 'local',
    externalId: null,
    tokensValidFromAt: 0,
    createdAt: now,
    updatedAt: now
  }
  const account: AccountRow = {
    id,
    status: 'active',
    available: 1_000_000 * PRICE,
    held: 0,
    holdCount: 0,
    grantVersion: 1,
    opening: 0,
    holds: {},
    limits: {},
    createdAt: now,
    updatedAt: now
  }
  yield { collection: 'users', document: user }
  yield { collection: 'accounts', document: account }
}

/** With the login session that the tokens of the crowd name. */
function* grantRows(userId: string, now: number): Generator<Row> {
  const id = grantId({ userId, chatflowId })
  const by = { assignedAt: now, assignedBy: userId, updatedAt: now }
  const grant: GrantRow = { id, userId, chatflowId, isActive: true, ...by }
  const family: TokenFamilyRow = { id: userId, userId, createdAt: now, expiresAt: now + DAY_MS }
  yield { collection: 'grants', document: grant }
  yield { collection: 'token_families', document: family }
}

function* sessionRows(ids: Ids, userId: string, at: number): Generator<Row> {
  const sessionId = ids.uuid()
  const session: SessionRow = {
    id: sessionId,
    userId,
    chatflowId,
    topic: 'What does the gateway hold before it asks, and wha...',
    messageCount: ROWS_PER_TURN * TURNS_PER_SESSION,
    createdAt: at,
    lastActivityAt: at,
    upstream: { sessionId: ids.uuid(), chatId: ids.uuid(), usedChatIds: [ids.uuid()] },
    isUnclean: false
  }
  yield { collection: 'sessions', document: session }
  for (let turn = 0; turn < TURNS_PER_SESSION; turn += 1) yield* turnRows(ids, { userId, sessionId, turn, at })
}

interface Turn {
  userId: string
  sessionId: string
  turn: number
  at: number
}

function* turnRows(ids: Ids, { userId, sessionId, turn, at }: Turn): Generator<Row> {
  const position = ROWS_PER_TURN * turn
  const message = { sessionId, userId, chatflowId, status: 'complete', createdAt: at } as const
  const question: MessageRow = { ...message, id: ids.uuid(), role: 'user', content: 'What does it hold?', position }
  const answer: MessageRow = {
    ...message,
    id: ids.uuid(),
    role: 'assistant',
    content: 'The price. '.repeat(50),
    position: position + 1
  }
  const [requestId, attempt] = [ids.run(), ids.run()]
  const meta = { sessionId, messageId: answer.id, chatflowId, amountMicro: PRICE }
  const entry = { accountId: userId, requestId, attempt, at, meta }
  const run = `${requestId}:${attempt}`
  const hold: LedgerEntryRow = { ...entry, id: `${run}:R`, kind: 'hold', delta: 0, isPosting: false }
  const charge: LedgerEntryRow = { ...entry, id: `${run}:T`, kind: 'charge', delta: -PRICE, isPosting: true }
  for (const document of [question, answer]) yield { collection: 'messages', document }
  for (const document of [hold, charge]) yield { collection: 'ledger_entries', document }
}
