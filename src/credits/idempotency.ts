import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { derivedRunId, type Ids, runIdOf } from '../ids.ts'
import type { AccountRow, LedgerEntryRow, RequestRow } from '../store/collections.ts'
import type { Guard, Store } from '../store/port.ts'
import { type BookNames, LEDGER_BOOK } from './book-names.ts'
import { persist } from './persist.ts'

/** How long a key stands for its first request. */
const KEPT_MS = 24 * 60 * 60 * 1000
/** Without a sign of life for so long, the process of a running request counts as dead. */
const SILENT_MS = 90_000
const RETRY_SECONDS = 2
const PAGE = 500

export interface Keyed {
  accountId: string
  /** As the client sent it. */
  key: string
}

/** A new run and the id of the message that will answer it, which its run id is made from. */
export type Begun = { state: 'new'; rid: string; messageId: string } | { state: 'replay'; receipt: unknown }

/** What is known of a run whose process died after the charge: its answer is lost, its price is not. */
export interface AbandonedReceipt {
  abandoned: true
  chargedMicro: number
}

export interface Idempotency {
  /**
   * Takes the key for a new run, or answers what became of its first one. `bodyHash` says whether it is the same request.
   * @throws idempotency_mismatch, request_in_progress
   */
  begin(request: Keyed & { bodyHash: string }): Promise<Begun>
  /** Stores what later requests with this key are answered. False if it is answered already or, with `rid`, another run's. */
  finish(request: Keyed & { rid?: string; receipt: unknown }): Promise<boolean>
  /** Says that the run is still worked on; needed at least once a minute. False if the key is no longer this run's. */
  renew(request: Keyed & { rid: string }): Promise<boolean>
  /** Frees the key of a request that was refused before anything happened; with `rid`, only if it is still that run's. */
  forget(request: Keyed & { rid?: string }): Promise<void>
  /** Removes what is older than 24 hours; answers how many. */
  purgeExpired(): Promise<number>
}

/** Idempotency keys over the store: one row per account and key. */
export function createIdempotency(options: {
  store: Store
  clock: Clock
  ids: Pick<Ids, 'ordered'>
  /** Where the holds and charges of predictions are. */
  book?: BookNames
}): Idempotency {
  const { store, clock, ids, book = LEDGER_BOOK } = options
  const requests = store.collection<RequestRow>('requests')
  const accounts = store.collection<Pick<AccountRow, 'id' | 'holds'>>(book.accounts)
  const entries = store.collection<LedgerEntryRow>(book.entries)

  async function begin({ accountId, key, bodyHash }: Keyed & { bodyHash: string }): Promise<Begun> {
    return persist(clock, async () => {
      const messageId = ids.ordered()
      const rid = runIdOf(messageId)
      const row = { ...newRow({ accountId, key, bodyHash }, { rid, now: clock.now() }), messageId }
      if (await requests.insert(row)) return { state: 'new', rid: row.rid, messageId }
      const known = await requests.get(row.id)
      // Forgotten or purged in between: the key is free again.
      if (!known) return undefined
      if (known.expiresAt > clock.now()) {
        if (known.bodyHash !== bodyHash) throw new AppError('idempotency_mismatch')
        if (known.state === 'done') return { state: 'replay', receipt: known.receipt }
        const chargedMicro = await chargeOfDead(known)
        if (chargedMicro > 0)
          return { state: 'replay', receipt: { abandoned: true, chargedMicro } satisfies AbandonedReceipt }
      }
      // From now on: the row above may be as old as the known one.
      const next = { ...row, createdAt: clock.now(), expiresAt: clock.now() + KEPT_MS }
      return (await takeOver(known, next)) ? { state: 'new', rid: next.rid, messageId } : undefined
    })
  }

  /** What the run of a dead process was charged, 0 for nothing. @throws request_in_progress if it may be alive */
  async function chargeOfDead({ accountId, rid, createdAt, aliveAt, messageId }: RequestRow): Promise<number> {
    const account = await accounts.get(accountId)
    const isSilent = clock.now() - Math.max(createdAt, aliveAt ?? 0) >= SILENT_MS
    if (account?.holds[rid] || !isSilent)
      throw new AppError('request_in_progress', {
        retryAfterSeconds: RETRY_SECONDS,
        ...(messageId === undefined ? {} : { extra: { message_id: messageId } })
      })
    // The ids of a run's entries begin with its id: the primary key finds them without an index of their own.
    const made = await entries.list({ after: { value: null, id: `${rid}:` }, limit: 200 })
    const charges = made.filter(
      (entry) => entry.requestId === rid && entry.accountId === accountId && entry.kind === 'charge'
    )
    return charges.reduce((sum, charge) => sum - charge.delta, 0)
  }

  /** Every beginning has a run id of its own: the old run, if it moves after all, meets guards that fail. */
  function takeOver(known: RequestRow, next: RequestRow): Promise<boolean> {
    const { rid, bodyHash, createdAt, expiresAt, messageId = '' } = next
    return requests.update(
      known.id,
      { equal: { rid: known.rid, state: known.state } },
      { set: { rid, bodyHash, createdAt, expiresAt, messageId, state: 'running' }, unset: ['receipt', 'aliveAt'] }
    )
  }

  return {
    begin,
    finish: ({ accountId, key, rid, receipt }) =>
      requests.update(rowId(accountId, key), runningOf(rid), { set: { state: 'done', receipt: receipt ?? null } }),
    renew: ({ accountId, key, rid }) =>
      requests.update(rowId(accountId, key), runningOf(rid), { max: { aliveAt: clock.now() } }),
    async forget({ accountId, key, rid }) {
      await requests.remove(rowId(accountId, key), runningOf(rid))
    },
    async purgeExpired() {
      const now = clock.now()
      let purged = 0
      for (;;) {
        const due = await requests.list({
          where: { lt: { expiresAt: now + 1 } },
          order: { by: 'expiresAt', direction: 'asc' },
          limit: PAGE
        })
        const removals = await Promise.all(due.map(({ id }) => requests.remove(id, { lt: { expiresAt: now + 1 } })))
        purged += removals.filter(Boolean).length
        if (due.length < PAGE) return purged
      }
    }
  }
}

function rowId(accountId: string, key: string): string {
  return derivedRunId(accountId, key)
}

function runningOf(rid: string | undefined): Guard {
  return { equal: { state: 'running', ...(rid !== undefined && { rid }) } }
}

function newRow(
  { accountId, key, bodyHash }: Keyed & { bodyHash: string },
  { rid, now }: { rid: string; now: number }
): RequestRow {
  return {
    id: rowId(accountId, key),
    accountId,
    rid,
    bodyHash,
    state: 'running',
    createdAt: now,
    expiresAt: now + KEPT_MS
  }
}
