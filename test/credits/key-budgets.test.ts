import t, { type Test } from 'tap'
import { createKeyBudgets } from '../../src/credits/key-budgets.ts'
import { within } from '../../src/credits/holds.ts'
import { verifyBooks } from '../../src/credits/verify-books.ts'
import { codeOf } from '../auth/parts.ts'
import { CREDIT, customer, openAccounting, USER } from './accounting-open.ts'
import { openTestLedger } from './open.ts'

const KEY = 'key:k'
const OTHER = 'key:other'

/** The same in front of the ledger and of an accounting service: an account of 100 credits, and a budget of 10 in it. */
const books = {
  async ledger(t: Test) {
    const { store, clock, ledger, run } = openTestLedger(t)
    await ledger.open('a', 100 * CREDIT)
    const openAccount = (id: string) => ledger.open(id, 0)
    const budgets = createKeyBudgets({ store, clock, accounts: 'accounts', openAccount })
    await budgets.set('a', KEY, 10 * CREDIT)
    const left = async () => (await budgets.left('a'))[KEY]
    const charged = async () => 100 * CREDIT - ((await ledger.account('a'))?.available ?? 0)
    return { holds: ledger, budgets, run, userId: 'a', left, charged, store, clock }
  },
  async accounting(t: Test) {
    const { store, clock, holds, service, run } = await openAccounting(t)
    service.balances.set(USER, 100)
    const budgets = createKeyBudgets({ store, clock, accounts: 'accounting_accounts', openAccount: holds.open })
    await budgets.set(USER, KEY, 10 * CREDIT)
    const left = async () => (await budgets.left(USER))[KEY]
    const charged = async () => (await holds.open(USER)).committed
    return { holds: holds.as(customer()), budgets, run, userId: USER, left, charged, store, clock }
  }
}

for (const [name, open] of Object.entries(books)) {
  t.test(`${name}: a budget is reserved, settled and voided with the hold`, async (t) => {
    const { holds, run, left, charged, store } = await open(t)
    const own = within(holds, [KEY])
    const first = await own.reserve({ ...run(), amountMicro: 6 * CREDIT })
    t.equal(await left(), 4 * CREDIT)
    const refusal = await own.reserve({ ...run(), amountMicro: 5 * CREDIT }).catch((error: unknown) => error)
    t.match(refusal, {
      code: 'insufficient_credits',
      params: { extra: { reason: 'key_budget_exhausted', available: 4, needed: 5, held: undefined } }
    })
    const second = await own.reserve({ ...run(), amountMicro: 4 * CREDIT })
    t.equal(await left(), 0)
    await own.settle(first, 2 * CREDIT)
    await own.void(second)
    t.equal(await left(), 8 * CREDIT)
    t.equal(await charged(), 2 * CREDIT)
    const beside = await holds.reserve({ ...run(), amountMicro: 50 * CREDIT })
    t.equal(await left(), 8 * CREDIT, 'others use none of it')
    await holds.void(beside)
    t.strictSame((await verifyBooks(store)).problems, [])
  })

  t.test(`${name}: a hold grows within its budget only`, async (t) => {
    const { holds, run, left } = await open(t)
    const own = within(holds, [KEY])
    const hold = await own.reserve({ ...run(), amountMicro: 6 * CREDIT })
    t.equal(await own.extend(hold, 5 * CREDIT), undefined)
    const more = await own.extend(hold, 4 * CREDIT)
    t.equal(more?.amountMicro, 10 * CREDIT)
    t.equal(await left(), 0)
  })

  t.test(`${name}: what runs when a budget ends settles without it, and the budget stays gone`, async (t) => {
    const { holds, budgets, run, userId, left, charged, store } = await open(t)
    const own = within(holds, [KEY])
    const settled = await own.reserve({ ...run(), amountMicro: 3 * CREDIT })
    const voided = await own.reserve({ ...run(), amountMicro: 3 * CREDIT })
    await budgets.drop(userId, KEY)
    await budgets.drop(userId, KEY)
    t.equal((await own.settle(settled, 2 * CREDIT)).chargedMicro, 2 * CREDIT)
    t.equal((await own.settle(settled, 2 * CREDIT)).chargedMicro, 2 * CREDIT, 'the same again')
    t.equal((await own.void(voided)).chargedMicro, 0)
    t.equal(await left(), undefined)
    t.equal(await charged(), 2 * CREDIT)
    t.equal(await codeOf(own.reserve({ ...run(), amountMicro: 1 })), 'insufficient_credits')
    t.strictSame((await verifyBooks(store)).problems, [])
  })

  t.test(`${name}: with two counters each is for itself`, async (t) => {
    const { holds, budgets, run, userId } = await open(t)
    await budgets.set(userId, OTHER, 5 * CREDIT)
    const own = within(holds, [KEY, OTHER])
    const hold = await own.reserve({ ...run(), amountMicro: 4 * CREDIT })
    await budgets.drop(userId, KEY)
    await own.settle(hold, CREDIT)
    t.strictSame(await budgets.left(userId), { [OTHER]: 4 * CREDIT })
  })

  t.test(`${name}: what is left can be set anew while something runs`, async (t) => {
    const { holds, budgets, run, userId, left } = await open(t)
    const own = within(holds, [KEY])
    const hold = await own.reserve({ ...run(), amountMicro: 10 * CREDIT })
    await budgets.set(userId, KEY, 20 * CREDIT)
    await own.settle(hold, CREDIT)
    t.equal(await left(), 29 * CREDIT, 'what the run gives back comes on top')
  })
}

t.test('a hold that expires gives its budget back what was not used, if there still is one', async (t) => {
  const { store, clock, ledger, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const openAccount = (id: string) => ledger.open(id, 0)
  const budgets = createKeyBudgets({ store, clock, accounts: 'accounts', openAccount })
  await budgets.set('a', KEY, 10)
  await budgets.set('a', OTHER, 10)
  const hold = await within(ledger, [KEY]).reserve({ ...run(), amountMicro: 8 })
  await ledger.heartbeat(hold, 3)
  await within(ledger, [OTHER]).reserve({ ...run(), amountMicro: 8 })
  await budgets.drop('a', OTHER)
  clock.advance(61_000)
  t.equal(await ledger.expireDue(), 2)
  t.strictSame(await budgets.left('a'), { [KEY]: 7 })
  t.match(await ledger.account('a'), { available: 97, held: 0, holdCount: 0 })
  t.strictSame((await verifyBooks(store)).problems, [])
})

t.test('an overdrawn budget is found', async (t) => {
  const { store, ledger } = openTestLedger(t)
  await ledger.open('a', 100)
  await store.collection('accounts').update('a', {}, { set: { 'limits.key:k': -1 } })
  t.match((await verifyBooks(store)).problems, [{ accountId: 'a', invariant: 'I1', detail: /key:k/ }])
})
