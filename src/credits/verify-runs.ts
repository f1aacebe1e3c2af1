import type { LedgerEntryRow } from '../store/collections.ts'
import type { Collection } from '../store/port.ts'
import type { HoldingRow } from './hold-ends.ts'
import type { Invariant } from './verify.ts'

export interface RunCheckOptions {
  accounts: Pick<Collection<HoldingRow>, 'get'>
  entries: Collection<LedgerEntryRow>
  complain: (accountId: string, invariant: Invariant, detail: string) => void
}

export interface RunCheck {
  /** Entries come in the order of their ids, so those of a run are neighbours, and an attempt's R is right before its T. */
  take(entry: LedgerEntryRow): Promise<void>
  end(): Promise<void>
}

/** Checks entries run by run, with the memory of one run: what each attempt may have written (I4, I5) and its form (I6). */
export function createRunCheck({ accounts, entries, complain }: RunCheckOptions): RunCheck {
  let run: { rid: string; charges: number } | undefined
  let open: LedgerEntryRow | undefined

  async function take(entry: LedgerEntryRow): Promise<void> {
    const flaw = flawOf(entry)
    if (flaw) complain(entry.accountId, 'I6', `${entry.id}: ${flaw}`)
    if (entry.attempt === null) return
    if (run?.rid !== entry.requestId) run = { rid: entry.requestId, charges: 0 }
    if (entry.kind === 'hold') {
      await closeOpen()
      open = entry
      return
    }
    takeOutcome(entry, run)
    if (isSameAttempt(open, entry)) open = undefined
  }

  function takeOutcome(entry: LedgerEntryRow, current: { charges: number }): void {
    if (!isSameAttempt(open, entry)) complain(entry.accountId, 'I4', `${entry.id}: an outcome without its hold`)
    if (entry.delta < 0 && ++current.charges > 1)
      complain(entry.accountId, 'I4', `${entry.id}: the run is charged twice`)
    const amountMicro = entry.meta['amountMicro']
    if (typeof amountMicro === 'number' && -entry.delta > amountMicro) {
      complain(entry.accountId, 'I4', `${entry.id}: more was captured than held`)
    }
  }

  /** The hold is looked for before the outcome: had it been settled in between, its outcome is there. */
  async function closeOpen(): Promise<void> {
    const hold = open
    open = undefined
    if (!hold) return
    const account = await accounts.get(hold.accountId)
    if (account?.holds[hold.requestId]?.attempt === hold.attempt) return
    if (await entries.get(`${hold.requestId}:${hold.attempt}:T`)) return
    complain(hold.accountId, 'I5', `${hold.id}: neither held nor settled`)
  }

  return { take, end: closeOpen }
}

function isSameAttempt(hold: LedgerEntryRow | undefined, outcome: LedgerEntryRow): boolean {
  return (
    hold !== undefined &&
    hold.requestId === outcome.requestId &&
    hold.attempt === outcome.attempt &&
    hold.accountId === outcome.accountId
  )
}

function flawOf({ id, kind, delta, isPosting, requestId, attempt }: LedgerEntryRow): string | undefined {
  if (!Number.isSafeInteger(delta)) return 'delta is not a whole number'
  if (isPosting !== (delta !== 0)) return 'isPosting contradicts delta'
  if (kind === 'grant' || kind === 'adjust')
    return id.startsWith('g:') && attempt === null ? undefined : 'not the form of a grant'
  if (id !== `${requestId}:${attempt}:${kind === 'hold' ? 'R' : 'T'}`) return 'the id does not belong to the attempt'
  if (kind === 'charge' ? delta >= 0 : delta !== 0) return `delta ${delta} is no ${kind}`
  return undefined
}
