import t from 'tap'
import { verifyLedger } from '../../src/credits/verify.ts'
import type { Invariant } from '../../src/credits/verify.ts'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import type { Change } from '../../src/store/port.ts'
import { openTestLedger } from './open.ts'

async function openBooks(t: Parameters<typeof openTestLedger>[0]) {
  const parts = openTestLedger(t)
  const { ledger, store, run } = parts
  await ledger.open('a', 100)
  const held = await ledger.reserve({ ...run(), amountMicro: 10 })
  const settled = await ledger.reserve({ ...run(), amountMicro: 20 })
  await ledger.settle(settled, 15)
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const idOf = (hold: typeof held, end: 'R' | 'T') => `${hold.rid}:${hold.attempt}:${end}`
  return { ...parts, held, settled, accounts, entries, idOf }
}

t.test('books in order give no problems', async (t) => {
  const { store } = await openBooks(t)
  t.same(await verifyLedger(store), { accountsChecked: 1, entriesChecked: 4, problems: [] })
})

const accountFaults: [string, Change, Invariant[]][] = [
  ['credits out of nothing', { inc: { available: 1 } }, ['I3']],
  ['a held sum that is not that of the holds', { inc: { held: 1, available: -1 } }, ['I2']],
  ['a wrong number of holds', { inc: { holdCount: 1 } }, ['I2']]
]
for (const [title, change, invariants] of accountFaults) {
  t.test(`${title} is found`, async (t) => {
    const { store, accounts } = await openBooks(t)
    await accounts.update('a', {}, change)
    const { problems } = await verifyLedger(store)
    t.same(
      problems.map(({ accountId, invariant }) => [accountId, invariant]),
      invariants.map((invariant) => ['a', invariant])
    )
  })
}

t.test('a lost hold is found', async (t) => {
  const { store, accounts, held } = await openBooks(t)
  await accounts.update('a', {}, { unset: [`holds.${held.rid}`], inc: { held: -10, available: 10, holdCount: -1 } })
  t.match((await verifyLedger(store)).problems, [{ accountId: 'a', invariant: 'I5' }])
})

t.test('lost and altered entries are found', async (t) => {
  const { store, entries, settled, idOf } = await openBooks(t)
  const charge = await entries.get(idOf(settled, 'T'))
  const found = async () => (await verifyLedger(store)).problems.map(({ invariant }) => invariant)
  await entries.update(idOf(settled, 'T'), {}, { set: { delta: -25 } })
  t.same(await found(), ['I4', 'I3'], 'more than was held')
  await entries.update(idOf(settled, 'T'), {}, { set: { delta: -15, isPosting: false } })
  t.same(await found(), ['I6', 'I3'], 'hidden from the listing')
  await entries.remove(idOf(settled, 'T'))
  t.same(await found(), ['I5', 'I3'], 'lost outcome')
  if (charge) await entries.insert(charge)
  t.same(await found(), [])
  await entries.remove(idOf(settled, 'R'))
  t.same(await found(), ['I4'], 'an outcome without its hold')
})

t.test('a run charged twice and entries of nobody are found', async (t) => {
  const { store, ledger, settled } = await openBooks(t)
  const again = await ledger.reserve({ rid: settled.rid, accountId: 'a', chatflowId: 'f', amountMicro: 5 })
  await ledger.settle(again, 5)
  t.match((await verifyLedger(store)).problems, [{ invariant: 'I4', detail: /charged twice/ }])
  await store.collection('accounts').remove('a')
  const { problems } = await verifyLedger(store)
  t.ok(problems.some(({ invariant, detail }) => invariant === 'I3' && detail === 'entries without an account'))
})

t.test('checking beside a working gateway raises no false alarm', async (t) => {
  const { store, ledger, run } = await openBooks(t)
  const over = new AbortController()
  async function work(): Promise<void> {
    while (!over.signal.aborted) await ledger.settle(await ledger.reserve({ ...run(), amountMicro: 3 }), 0)
  }
  const working = Promise.all([work(), work(), work()])
  for (let i = 0; i < 10; i++) t.same((await verifyLedger(store)).problems, [])
  over.abort()
  await working
})
