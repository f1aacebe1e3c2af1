import { isoInstant } from '../clock.ts'
import { Credits, Instant, Nullable, PageReply, type Static, Type } from '../schema.ts'
import type { AccountingAccountRow, ChargeRow } from '../store/accounting-rows.ts'
import type { AccountRow, LedgerEntryRow } from '../store/collections.ts'
import { decodeCursor, toPage } from '../store/cursor.ts'
import type { EntriesQuery } from './ledger.ts'
import { toCredits } from './pricing.ts'

/** A credit account as its owner sees it. */
export const Balance = Type.Object({
  user_id: Type.String(),
  credits_remaining: Type.Number({ description: 'credits that can be spent; excludes what running predictions hold' }),
  credits_held: Credits,
  last_updated: Instant
})

/** A posting of the ledger as the owner of the account sees it. */
export const Transaction = Type.Object({
  id: Type.String(),
  kind: Type.String({ enum: ['grant', 'adjust', 'charge'] }),
  amount: Type.Number({ description: 'signed credits' }),
  state: Type.String({
    enum: ['settled', 'pending', 'refused'],
    description: 'pending and refused only where another service keeps the balance'
  }),
  chatflow_id: Nullable(Type.String()),
  session_id: Nullable(Type.String()),
  message_id: Nullable(Type.String()),
  note: Nullable(Type.String({ description: 'of the administrator; `upsert` where that is what was charged' })),
  created_at: Instant
})

export const TransactionPage = Type.Object({ transactions: Type.Array(Transaction), ...PageReply })

/** The API form of an account. */
export function balanceView(account: AccountRow): Static<typeof Balance> {
  return {
    user_id: account.id,
    credits_remaining: toCredits(account.available),
    credits_held: toCredits(account.held),
    last_updated: isoInstant(account.updatedAt)
  }
}

/** The same where another service keeps the balance: charges on their way to it count as held. */
export function accountingBalanceView(
  { id, committed, cleared, updatedAt }: AccountingAccountRow,
  balanceMicro: number
): Static<typeof Balance> {
  const heldMicro = committed - cleared
  return {
    user_id: id,
    credits_remaining: toCredits(Math.max(0, balanceMicro - heldMicro)),
    credits_held: toCredits(heldMicro),
    last_updated: isoInstant(updatedAt)
  }
}

/**
 * What to ask the ledger for one page of transactions: a row more than is shown, to know whether there are others.
 * @throws validation_error for a cursor that is not ours
 */
export function entriesQuery(limit: number, cursor: string | undefined): EntriesQuery {
  const after = decodeCursor(cursor, 'number')
  return { ...(after ? { after } : {}), limit: limit + 1 }
}

/** The reply for the rows that entriesQuery asked for. */
export function transactionPage(rows: LedgerEntryRow[], limit: number): Static<typeof TransactionPage> {
  const { items, ...tail } = toPage(rows, limit, (row) => row.at)
  return { transactions: items.map(transactionView), ...tail }
}

/** The same of charges that another service settles. */
export function chargePage(rows: ChargeRow[], limit: number): Static<typeof TransactionPage> {
  const { items, ...tail } = toPage(rows, limit, (row) => row.createdAt)
  return { transactions: items.map(chargeView), ...tail }
}

function chargeView({ id, amount, state, createdAt, ...row }: ChargeRow): Static<typeof Transaction> {
  const { chatflowId: chatflow_id, sessionId: session_id, messageId: message_id } = row
  const about = { chatflow_id, session_id, message_id, note: null }
  return { id, kind: 'charge', amount: -toCredits(amount), state, ...about, created_at: isoInstant(createdAt) }
}

function transactionView({ id, kind, delta, at, meta }: LedgerEntryRow): Static<typeof Transaction> {
  return {
    id,
    kind,
    amount: toCredits(delta),
    state: 'settled',
    chatflow_id: text(meta.chatflowId),
    session_id: text(meta.sessionId),
    message_id: text(meta.messageId),
    note: text(meta.note) ?? text(meta.purpose),
    created_at: isoInstant(at)
  }
}

function text(value: string | number | boolean | null | undefined): string | null {
  return typeof value === 'string' ? value : null
}
