import t from 'tap'
import { verifyLedger } from '../../src/credits/verify.ts'
import { probeStore } from '../../src/doctor/store.ts'
import type { AccountRow, LedgerEntryRow, UserRow } from '../../src/store/collections.ts'
import type { Store } from '../../src/store/port.ts'
import { openTempStore } from '../temp-store.ts'

const NOW = 1_700_000_000_000
const ask = (store: Store) =>
  probeStore({ store, name: 'SQLite', now: NOW, verify: async () => (await verifyLedger(store)).problems })

const user: UserRow = {
  id: 'u1',
  username: 'admin',
  usernameKey: 'admin',
  role: 'admin',
  isActive: true,
  origin: 'local',
  externalId: null,
  tokensValidFromAt: 0,
  createdAt: 0,
  updatedAt: 0
}
const account: AccountRow = {
  id: 'u1',
  status: 'active',
  available: 5,
  held: 0,
  holdCount: 0,
  grantVersion: 1,
  opening: 5,
  holds: {},
  limits: {},
  createdAt: 0,
  updatedAt: 0
}
const grant: LedgerEntryRow = {
  id: 'g:opening',
  accountId: 'u1',
  kind: 'grant',
  delta: 5,
  isPosting: true,
  requestId: 'opening',
  attempt: null,
  at: 0,
  meta: {}
}

t.test('an installation in order', async (t) => {
  const store = openTempStore(t)
  await store.collection('users').insert(user)
  await store.collection('accounts').insert(account)
  await store.collection('ledger_entries').insert(grant)
  t.strictSame(
    (await ask(store)).map(({ level, text }) => [level, text]),
    [
      ['ok', 'SQLite: 1 user, 0 chatflows'],
      ['ok', '1 account, 1 ledger entry: the ledger adds up']
    ]
  )
})

t.test('no administrator, books that are off, and holds that nobody settles', async (t) => {
  const store = openTempStore(t)
  await store.collection<UserRow>('users').insert({ ...user, isActive: false })
  const hold = { attempt: 'a', amount: 2, used: 0, extensions: 0, chatflowId: 'c' }
  const holds = { r1: { ...hold, expiresAt: NOW - 76_000 }, r2: { ...hold, expiresAt: NOW - 74_000 } }
  await store.collection<AccountRow>('accounts').insert({ ...account, available: 2, held: 4, holdCount: 2, holds })
  await store.collection('ledger_entries').insert(grant)
  t.match(await ask(store), [
    { level: 'ok' },
    { level: 'warn', text: 'there is no active administrator' },
    { level: 'fail', text: /1 account, 1 ledger entry: \d+ problems? in the ledger/, next: /npm run verify/ },
    { level: 'warn', text: /^1 hold ran out/ }
  ])
})
