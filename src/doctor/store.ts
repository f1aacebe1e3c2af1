import {
  type AccountRow,
  type ChatflowRow,
  collections,
  type LedgerEntryRow,
  type MetaRow,
  type UserRow
} from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import { counted, type Finding, reportOn } from './finding.ts'

export interface StoreProbe {
  store: Store
  /** Kind, version and place: `SQLite in ./data`. */
  name: string
  /** Epoch ms. */
  now: number
  /** Problems of the ledger; asked for small ledgers only. */
  verify: (store: Store) => Promise<readonly unknown[]>
}

/** Adding up so many entries takes about a second. */
const MAX_VERIFIED = 20_000
/** A lease of 60 s, and a sweeper that looks every 15 s. */
const OVERDUE_MS = 75_000
const ACCOUNTS_LOOKED_AT = 1000

/** What an open store holds, whether its books add up, and whether somebody sweeps it. Reads only. */
export async function probeStore({ store, name, now, verify }: StoreProbe): Promise<Finding[]> {
  const report = reportOn('store')
  const users = store.collection<UserRow>('users')
  const people = await users.count({})
  const admins = await users.count({ equal: { role: 'admin', isActive: true } })
  const chatflows = await store.collection<ChatflowRow>('chatflows').count({ equal: { status: 'active' } })
  const findings = [report('ok', `${name}: ${counted(people, 'user')}, ${counted(chatflows, 'chatflow')}`)]
  const behind = await collectionsBehind(store)
  if (behind.length > 0)
    findings.push(
      report('warn', `older data than this version's: ${behind.join(', ')}`, {
        next: 'the next start of a gateway brings it forward; take a backup before'
      })
    )
  if (admins === 0)
    findings.push(
      report('warn', 'there is no active administrator', { next: 'npm run cli -- create-admin <username> <e-mail>' })
    )
  findings.push(await checkLedger(store, verify))
  const overdue = await countOverdueHolds(store, now)
  if (overdue > 0)
    findings.push(
      report('warn', `${counted(overdue, 'hold')} ran out and nobody settled what was used`, {
        next: 'start a gateway on this store: it settles them within a minute'
      })
    )
  return findings
}

/** Collections that a migration still has to go through; newer ones have been refused when the store was opened. */
async function collectionsBehind(store: Store): Promise<string[]> {
  const row = await store.collection<MetaRow>('meta').get('schema')
  const stored = new Map(Object.entries(Object(row?.value)))
  return collections.filter(({ name, version = 1 }) => Number(stored.get(name) ?? 1) < version).map(({ name }) => name)
}

async function checkLedger(store: Store, verify: StoreProbe['verify']): Promise<Finding> {
  const report = reportOn('store')
  const entries = await store.collection<LedgerEntryRow>('ledger_entries').count({})
  const accounts = await store.collection<AccountRow>('accounts').count({})
  const size = `${counted(accounts, 'account')}, ${counted(entries, 'ledger entry', 'ledger entries')}`
  const next = 'npm run verify checks every account and entry'
  if (entries > MAX_VERIFIED) return report('ok', `${size}, not added up here`, { next })
  const problems = await verify(store)
  if (problems.length === 0) return report('ok', `${size}: the ledger adds up`)
  return report('fail', `${size}: ${counted(problems.length, 'problem')} in the ledger`, { next })
}

async function countOverdueHolds(store: Store, now: number): Promise<number> {
  const accounts = await store.collection<AccountRow>('accounts').list({
    where: { gte: { holdCount: 1 } },
    order: { by: 'holdCount', direction: 'asc' },
    limit: ACCOUNTS_LOOKED_AT
  })
  const holds = accounts.flatMap((account) => Object.values(account.holds))
  return holds.filter(({ expiresAt }) => expiresAt < now - OVERDUE_MS).length
}
