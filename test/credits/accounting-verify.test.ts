import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { verifyAccounting } from '../../src/credits/verify-accounting.ts'
import { verifyBooks } from '../../src/credits/verify-books.ts'
import type { ChargeRow } from '../../src/store/accounting-rows.ts'
import type { Change } from '../../src/store/port.ts'
import { CREDIT, openAccounting, USER } from './accounting-open.ts'

/** One hold, one charge in the outbox, one that has left it. */
async function openBooks(t: Parameters<typeof openAccounting>[0]) {
  const books = await openAccounting(t)
  books.service.balances.set(USER, 10)
  await books.charge(1)
  await books.outbox.send(USER)
  await books.charge(2)
  await books.reserve(3)
  return books
}

t.test('books in order give no problems, and both sets are looked at', async (t) => {
  const { store } = await openBooks(t)
  t.same(await verifyAccounting(store), { accountsChecked: 1, entriesChecked: 5, problems: [] })
  t.same(await verifyBooks(store), { accountsChecked: 1, entriesChecked: 5, problems: [] })
})

const faults: [string, Change, string[]][] = [
  ['a held sum that is not that of the holds', { inc: { held: 1, committed: 1 } }, ['I2']],
  ['a wrong number of holds', { inc: { holdCount: 1 } }, ['I2']],
  ['more committed than its parts', { inc: { committed: 1 } }, ['I3']],
  ['a charge that nobody knows', { inc: { unsettled: 1, committed: 1 } }, ['I3', 'I3']],
  ['a charge that was cleared and never made', { inc: { cleared: CREDIT, committed: CREDIT } }, ['I3']]
]
for (const [title, change, invariants] of faults)
  t.test(`${title} is found`, async (t) => {
    const { store, accounts } = await openBooks(t)
    await accounts.update(USER, {}, change)
    const { problems } = await verifyAccounting(store)
    t.same(
      problems.map(({ accountId, invariant }) => [accountId, invariant]),
      invariants.map((invariant) => [USER, invariant])
    )
  })

t.test('a charge that was changed or lost is found', async (t) => {
  for (const harm of ['change', 'remove'] as const) {
    const { store, charges } = await openBooks(t)
    const rows = store.collection<ChargeRow>('accounting_charges')
    const [row] = await charges()
    if (harm === 'change') await rows.update(row?.id ?? '', {}, { inc: { amount: 1 } })
    else await rows.remove(row?.id ?? '')
    const { problems } = await verifyAccounting(store)
    t.ok(problems.length >= 2)
    t.ok(problems.every(({ invariant }) => invariant === 'I3'))
  }
})

t.test('the environment: forms, addresses, and prices in whole credits', async (t) => {
  const url = 'http://accounting:8002'
  const read = (env: Record<string, string>) => loadConfig(env).accounting
  t.equal(read({}), undefined)
  t.same(read({ ACCOUNTING_SERVICE_URL: `${url}/` }), { url, form: 'seed', timeoutMs: 10_000 })
  t.match(read({ ACCOUNTING_SERVICE_URL: `${url}/api` }), { url: `${url}/api` })
  for (const ending of ['', '/', '/api', '/api/'])
    t.match(read({ ACCOUNTING_SERVICE_URL: `${url}${ending}`, ACCOUNTING_API: 'v1' }), { url, form: 'v1' })
  const decimal = { DEFAULT_CHATFLOW_PRICE: '0.5' }
  t.doesNotThrow(() => read(decimal))
  t.throws(() => read({ ...decimal, ACCOUNTING_SERVICE_URL: url }), /DEFAULT_CHATFLOW_PRICE must be whole credits/)
  t.throws(() => read({ ACCOUNTING_SERVICE_URL: url, ACCOUNTING_API: 'v2' }), /ACCOUNTING_API must be one of seed, v1/)
  t.throws(() => read({ ACCOUNTING_SERVICE_URL: 'accounting:8002' }), /ACCOUNTING_SERVICE_URL must be an http/)
})
