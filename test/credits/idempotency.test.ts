import t from 'tap'
import type { Test } from 'tap'
import { createIdempotency } from '../../src/credits/idempotency.ts'
import { runIdOf } from '../../src/ids.ts'
import { createStoreWire } from './hostile-store.ts'
import { openTestLedger } from './open.ts'

const request = { accountId: 'a', key: 'k', bodyHash: 'h' }

function open(t: Test) {
  const parts = openTestLedger(t)
  const idempotency = createIdempotency(parts)
  const begin = async (bodyHash = 'h'): Promise<string> => {
    const begun = await idempotency.begin({ ...request, bodyHash })
    if (begun.state === 'replay') throw new Error('A replay where a new run was expected')
    return begun.rid
  }
  return { ...parts, idempotency, begin }
}

t.test('a key runs once, and its result is replayed', async (t) => {
  const { idempotency, begin, clock } = open(t)
  const rid = await begin()
  t.match(rid, /^[a-z2-7]{26}$/)
  await t.rejects(idempotency.begin(request), { code: 'request_in_progress', params: { retryAfterSeconds: 2 } })
  await t.rejects(idempotency.begin({ ...request, bodyHash: 'other' }), { code: 'idempotency_mismatch' })
  t.equal(await idempotency.finish({ ...request, rid, receipt: { text: 'done', n: [1, null] } }), true)
  t.strictSame(await idempotency.begin(request), { state: 'replay', receipt: { text: 'done', n: [1, null] } })
  await t.rejects(idempotency.begin({ ...request, bodyHash: 'other' }), { code: 'idempotency_mismatch' })
  t.equal(await idempotency.finish({ ...request, rid, receipt: 'second' }), false)
  await idempotency.forget({ ...request, rid })
  clock.advance(23 * 3_600_000)
  t.match(await idempotency.begin(request), { state: 'replay' }, 'a finished request is not forgotten')
  t.match(await idempotency.begin({ ...request, accountId: 'b' }), { state: 'new' }, 'keys belong to their account')
})

t.test('of many beginnings at once, one is new', async (t) => {
  const { idempotency } = open(t)
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => idempotency.begin(request)))
  t.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
  for (const result of results)
    if (result.status === 'rejected') t.match(result.reason, { code: 'request_in_progress' })
})

t.test('a refused request frees its key, but only its own', async (t) => {
  const { idempotency, begin, clock } = open(t)
  const first = await begin()
  await idempotency.forget({ ...request, rid: first })
  clock.advance(1)
  const second = await begin('other')
  t.not(second, first)
  await idempotency.forget({ ...request, rid: first })
  await t.rejects(begin('other'), { code: 'request_in_progress' })
  await idempotency.forget({ accountId: 'a', key: 'k' })
  t.ok(await begin())
})

t.test('after a day the key is free for another run', async (t) => {
  const { idempotency, begin, clock } = open(t)
  const rid = await begin()
  await idempotency.finish({ ...request, rid, receipt: 1 })
  clock.advance(24 * 3_600_000)
  const again = await begin('other')
  t.not(again, rid)
  t.equal(await idempotency.finish({ ...request, rid, receipt: 'late' }), false)
  t.equal(await idempotency.purgeExpired(), 0)
  clock.advance(24 * 3_600_000)
  t.equal(await idempotency.purgeExpired(), 1)
})

t.test('a run whose process died is found out after its silence', async (t) => {
  const { idempotency, begin, clock, ledger } = open(t)
  await ledger.open('a', 100)

  const held = await begin()
  const hold = await ledger.reserve({ rid: held, accountId: 'a', chatflowId: 'f', amountMicro: 10 })
  clock.advance(600_000)
  await t.rejects(idempotency.begin(request), { code: 'request_in_progress' }, 'it still has a hold')
  await ledger.settle(hold, 4)
  t.strictSame(await idempotency.begin(request), { state: 'replay', receipt: { abandoned: true, chargedMicro: 4 } })
  t.strictSame(await idempotency.begin(request), { state: 'replay', receipt: { abandoned: true, chargedMicro: 4 } })
})

t.test('a silent run that cost nothing is run anew, once', async (t) => {
  const { idempotency, begin, clock, ledger } = open(t)
  await ledger.open('a', 100)
  const dead = await begin()
  await ledger.void(await ledger.reserve({ rid: dead, accountId: 'a', chatflowId: 'f', amountMicro: 10 }))
  clock.advance(89_999)
  await t.rejects(idempotency.begin(request), { code: 'request_in_progress' })
  clock.advance(1)
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => idempotency.begin(request)))
  const begun = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  t.equal(begun.length, 1)
  t.match(begun[0], { state: 'new' })
  t.not(begun[0]?.state === 'new' && begun[0].rid, dead)
  t.equal(await idempotency.finish({ ...request, rid: dead, receipt: 'from the grave' }), false)
  t.equal(await idempotency.renew({ ...request, rid: dead }), false)
})

t.test('a free run that says it is alive keeps its key', async (t) => {
  const { idempotency, begin, clock } = open(t)
  const rid = await begin()
  for (let i = 0; i < 10; i++) {
    clock.advance(60_000)
    t.equal(await idempotency.renew({ ...request, rid }), true)
  }
  clock.advance(89_000)
  await t.rejects(idempotency.begin(request), { code: 'request_in_progress' })
  t.equal(await idempotency.finish({ ...request, rid, receipt: undefined }), true)
  t.strictSame(await idempotency.begin(request), { state: 'replay', receipt: null })
})

t.test('purging goes through all pages', async (t) => {
  const { idempotency, clock } = open(t)
  await Promise.all(Array.from({ length: 1100 }, (_, i) => idempotency.begin({ ...request, key: `k${i}` })))
  clock.advance(1)
  await idempotency.begin(request)
  clock.advance(24 * 3_600_000 - 1)
  t.equal(await idempotency.purgeExpired(), 1100)
  await t.rejects(idempotency.begin({ ...request, bodyHash: 'other' }), { code: 'idempotency_mismatch' })
})

t.test('a beginning that stalled since the instant of the first one gets a run id of its own', async (t) => {
  const { begin, clock, ids, store } = open(t)
  const wire = createStoreWire(store)
  const slow = await wire.start(0)
  const stalled = createIdempotency({ store: slow.store, clock, ids }).begin(request)
  const first = await begin()
  clock.advance(90_000)
  while (slow.waiting().length > 0) {
    for (const { decide } of slow.waiting()) decide('pass')
    await wire.settled()
  }
  const begun = await stalled
  t.match(begun, { state: 'new' })
  t.not(begun.state === 'new' && begun.rid, first)
})

t.test('the run of a key is found from the message that answers it, also when it was taken over', async (t) => {
  const { idempotency, clock } = open(t)
  const first = await idempotency.begin(request)
  clock.advance(90_000)
  const second = await idempotency.begin(request)
  if (first.state !== 'new' || second.state !== 'new') throw new Error('A replay where a new run was expected')
  t.equal(first.rid, runIdOf(first.messageId))
  t.equal(second.rid, runIdOf(second.messageId))
  t.not(second.messageId, first.messageId)
  t.equal(await idempotency.finish({ ...request, rid: second.rid, receipt: 1 }), true)
})
