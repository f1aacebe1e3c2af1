import t from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import { createStoreWire } from './hostile-store.ts'
import { openTestLedger } from './open.ts'

t.test('a run reserves before and settles after, and both leave an entry', async (t) => {
  const { ledger, store, clock, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 30 })
  t.match(await ledger.account('a'), { available: 70, held: 30, holdCount: 1 })
  clock.advance(5)
  const settlement = await ledger.settle(hold, 20, { sessionId: 's', ending: 'completed' })
  const entryId = `${hold.rid}:${hold.attempt}:T`
  t.strictSame(settlement, { chargedMicro: 20, availableMicro: 80, heldMicro: 0, entryId })
  t.strictSame(await ledger.settle(hold, 25), settlement, 'repeated: the first settlement')
  t.strictSame(await ledger.void(hold), settlement)
  const [charge, opening] = await ledger.entries('a', { limit: 10 })
  t.strictSame(charge, {
    id: entryId,
    accountId: 'a',
    kind: 'charge',
    delta: -20,
    isPosting: true,
    requestId: hold.rid,
    attempt: hold.attempt,
    at: clock.now(),
    meta: { sessionId: 's', ending: 'completed', chatflowId: 'f', amountMicro: 30 }
  })
  t.match(opening, { kind: 'grant', delta: 100 })
  t.same(await ledger.entries('a', { after: { value: charge?.at ?? 0, id: entryId }, limit: 10 }), [opening])
  t.equal(await store.collection<LedgerEntryRow>('ledger_entries').count({ equal: { requestId: hold.rid } }), 2)
})

t.test('a void gives everything back and is not listed', async (t) => {
  const { ledger, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 100 })
  t.match(await ledger.void(hold), { chargedMicro: 0, availableMicro: 100, heldMicro: 0 })
  t.match(await ledger.settle(hold, 50), { chargedMicro: 0 }, 'too late')
  t.equal((await ledger.entries('a', { limit: 10 })).length, 1)
})

t.test('a cost above the hold is charged up to the hold, and the rest is on record', async (t) => {
  const { ledger, clock, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 10 })
  clock.advance(1)
  t.match(await ledger.settle(hold, 15), { chargedMicro: 10, availableMicro: 90 })
  t.match(await ledger.entries('a', { limit: 1 }), [{ delta: -10, meta: { uncoveredMicro: 5 } }])
})

t.test('a free run holds nothing and writes nothing', async (t) => {
  const { ledger, store, run } = openTestLedger(t)
  const hold = await ledger.free(run())
  t.equal(hold.amountMicro, 0)
  t.equal((await ledger.reserve({ ...run(), amountMicro: 0 })).amountMicro, 0)
  t.equal(await ledger.heartbeat(hold, 0), true)
  t.equal(await ledger.extend(hold, 5), undefined)
  t.strictSame(await ledger.settle(hold, 5), { chargedMicro: 0, availableMicro: 0, heldMicro: 0, entryId: null })
  t.equal(await store.collection('ledger_entries').count({}), 0)
})

t.test('what a refusal says', async (t) => {
  const { ledger, store, run } = openTestLedger(t, { maxHolds: 2 })
  await t.rejects(ledger.reserve({ ...run(), amountMicro: 1 }), { code: 'user_not_found' })
  await ledger.open('a', 3_500_000)
  const big = { ...run(), amountMicro: 4_000_000 }
  await t.rejects(ledger.reserve(big), {
    code: 'insufficient_credits',
    message: 'This prediction needs 4 credits; 3.5 are available.',
    params: {
      extra: { available: 3.5, held: 0, needed: 4, reason: 'insufficient_credits' },
      retryAfterSeconds: undefined
    }
  })
  const first = await ledger.reserve({ ...run(), amountMicro: 2_500_000 })
  await t.rejects(ledger.reserve({ ...run(), amountMicro: 1_500_000 }), {
    code: 'insufficient_credits',
    message: 'This prediction needs 1.5 credits; 1 is available.',
    params: { extra: { available: 1, held: 2.5, needed: 1.5, reason: 'held_by_inflight' }, retryAfterSeconds: 5 }
  })
  await ledger.reserve({ ...run(), amountMicro: 1 })
  await t.rejects(ledger.reserve({ ...run(), amountMicro: 1 }), {
    code: 'too_many_predictions',
    params: { retryAfterSeconds: 1 }
  })
  await t.rejects(
    ledger.reserve({ ...run(), amountMicro: 1_000_000 }),
    { code: 'insufficient_credits' },
    '402 before 429'
  )
  await ledger.setFrozen('a', true)
  await t.rejects(ledger.reserve({ ...run(), amountMicro: 1_000_000 }), { code: 'account_frozen' })
  await t.rejects(ledger.free(run()), { code: 'account_frozen' })
  t.match(await ledger.settle(first, 2_500_000), { chargedMicro: 2_500_000 }, 'what runs is settled')
  t.equal(await ledger.setFrozen('a', false), true)
  t.equal(await ledger.setFrozen('nobody', true), false)
  t.same((await verifyLedger(store)).problems, [])
})

t.test('a budget below the account bounds the run and gets back what was not used', async (t) => {
  const { ledger, store, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const accounts = store.collection<AccountRow>('accounts')
  await accounts.update('a', {}, { set: { 'limits.key:k1': 20, 'limits.flow:f': 12 } })
  const limits = ['key:k1', 'flow:f']
  const hold = await ledger.reserve({ ...run(), amountMicro: 10, limits })
  t.match(await ledger.account('a'), { limits: { 'key:k1': 10, 'flow:f': 2 } })
  t.equal(await ledger.extend(hold, 3), undefined)
  const more = await ledger.extend(hold, 2)
  t.equal(more?.amountMicro, 12)
  await t.rejects(ledger.reserve({ ...run(), amountMicro: 1, limits }), {
    code: 'insufficient_credits',
    params: { extra: { reason: 'flow_budget_exhausted' } }
  })
  await t.rejects(ledger.reserve({ ...run(), amountMicro: 9, limits: ['key:k1'] }), {
    code: 'insufficient_credits',
    params: { extra: { reason: 'key_budget_exhausted' } }
  })
  await ledger.settle(more ?? hold, 5)
  t.match(await ledger.account('a'), { available: 95, limits: { 'key:k1': 15, 'flow:f': 7 } })
})

t.test('a hold grows while the account can cover it', async (t) => {
  const { ledger, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 60 })
  const more = await ledger.extend(hold, 30)
  t.equal(more?.amountMicro, 90)
  t.equal(await ledger.extend(more ?? hold, 11), undefined)
  t.match(await ledger.account('a'), { available: 10, held: 90, holds: { [hold.rid]: { amount: 90, extensions: 1 } } })
  t.match(await ledger.settle(hold, 85), { chargedMicro: 85 }, 'also with the hold as it was before')
  t.equal(await ledger.extend(hold, 1), undefined)
})

t.test('a lease that is renewed never expires, one that is not is charged what was used', async (t) => {
  const { ledger, clock, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const alive = await ledger.reserve({ ...run(), amountMicro: 10 })
  const dead = await ledger.reserve({ ...run(), amountMicro: 20 })
  const silent = await ledger.reserve({ ...run(), amountMicro: 30 })
  t.equal(await ledger.heartbeat(dead, 7), true)
  t.equal(await ledger.heartbeat(dead, 3), true, 'late and lower')
  clock.advance(45_000)
  await ledger.heartbeat(alive, 1)
  clock.advance(14_999)
  t.equal(await ledger.expireDue(), 0)
  clock.advance(1)
  t.equal(await ledger.expireDue(), 2)
  t.match(await ledger.account('a'), { available: 83, held: 10, holdCount: 1 })
  t.equal(await ledger.heartbeat(dead, 9), false)
  t.match(await ledger.settle(dead, 20), { chargedMicro: 7 }, 'the sweeper was first')
  t.match(await ledger.settle(silent, 20), { chargedMicro: 0 })
  t.match(await ledger.settle(alive, 4), { chargedMicro: 4, heldMicro: 0 })
})

t.test('the sweep goes through all pages of accounts', async (t) => {
  const { ledger, ids, clock } = openTestLedger(t)
  await Promise.all(
    Array.from({ length: 450 }, async (_, i) => {
      await ledger.open(`u${i}`, 10)
      await ledger.reserve({ rid: ids.run(), accountId: `u${i}`, chatflowId: 'f', amountMicro: 10 })
    })
  )
  clock.advance(60_000)
  t.equal(await ledger.expireDue(), 450)
  t.equal(await ledger.expireDue(), 0)
})

t.test('amounts that are not whole micro-credits are a fault of the caller', async (t) => {
  const { ledger, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 10 })
  for (const micro of [-1, 0.5, Number.NaN, 2 ** 53]) {
    await t.rejects(ledger.reserve({ ...run(), amountMicro: micro }))
    await t.rejects(ledger.settle(hold, micro))
    await t.rejects(ledger.heartbeat(hold, micro))
    await t.rejects(ledger.extend(hold, micro))
  }
})

async function openSweeper({ store, clock, ids }: ReturnType<typeof openTestLedger>) {
  const wire = createStoreWire(store)
  const [sweeper, owner] = [await wire.start(0), await wire.start(1)]
  const letPass = ({ waiting }: typeof sweeper) => {
    for (const { decide } of waiting()) decide('pass')
    return wire.settled()
  }
  return {
    /** Starts a sweep that stops between its look and its write. */
    async look() {
      const swept = createLedger({ store: sweeper.store, clock, ids, maxHolds: 10 }).expireDue()
      while (!sweeper.waiting().some(({ isWrite }) => isWrite)) await letPass(sweeper)
      return { swept }
    },
    write: () => letPass(sweeper),
    /** A process whose writes wait for `land`. */
    slow: createLedger({ store: owner.store, clock, ids, maxHolds: 10 }),
    land: () => letPass(owner)
  }
}

t.test('a heartbeat between the look of the sweeper and its write keeps the hold', async (t) => {
  const opened = openTestLedger(t)
  const { ledger, clock, run } = opened
  const { look, write } = await openSweeper(opened)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 10 })
  clock.advance(60_000)
  const { swept } = await look()
  t.equal(await ledger.heartbeat(hold, 5), true)
  await write()
  t.equal(await swept, 0)
  t.match(await ledger.account('a'), { held: 10, holdCount: 1 })
})

t.test('a heartbeat that comes too late to renew the lease still says what is charged', async (t) => {
  const opened = openTestLedger(t)
  const { ledger, clock, run } = opened
  const { look, write, slow, land } = await openSweeper(opened)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 10 })
  const renewed = slow.heartbeat(hold, 5)
  clock.advance(60_000)
  const { swept } = await look()
  await land()
  t.equal(await renewed, true)
  await write()
  t.equal(await swept, 0)
  t.equal(await ledger.expireDue(), 1)
  t.match(await ledger.account('a'), { available: 95, held: 0 })
})

t.test('an account that cannot be swept does not keep the money of the others', async (t) => {
  const { ledger, store, clock, ids } = openTestLedger(t)
  for (const accountId of ['a', 'b', 'c']) {
    await ledger.open(accountId, 10)
    await ledger.reserve({ rid: ids.run(), accountId, chatflowId: 'f', amountMicro: 10 })
  }
  await store.collection<AccountRow>('accounts').update('b', {}, { set: { held: 0 } })
  clock.advance(60_000)
  await t.rejects(ledger.expireDue(), 'the failure is told')
  t.match(await ledger.account('a'), { available: 10 })
  t.match(await ledger.account('b'), { available: 0, holdCount: 1 })
  t.match(await ledger.account('c'), { available: 10 })
})
