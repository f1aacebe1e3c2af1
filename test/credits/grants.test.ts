import t from 'tap'
import { verifyLedger } from '../../src/credits/verify.ts'
import type { AccountRow } from '../../src/store/collections.ts'
import { openTestLedger } from './open.ts'

t.test('an account opens once, and a crash before the opening grant is made good', async (t) => {
  const { ledger, store, clock } = openTestLedger(t)
  t.match(await ledger.open('a', 500), { available: 500, opening: 500, grantVersion: 1 })
  t.match(await ledger.open('a', 900), { available: 500, opening: 500 }, 'the first amount stands')
  t.match(await ledger.open('empty', 0), { available: 0, grantVersion: 0 })
  const crashed: AccountRow = {
    ...(await ledger.open('empty', 0)),
    id: 'crashed',
    opening: 70,
    createdAt: clock.now()
  }
  const accounts = store.collection<AccountRow>('accounts')
  await accounts.insert(crashed)
  t.match(await ledger.open('crashed', 0), { available: 70 })
  await accounts.insert({ ...crashed, id: 'changed-first' })
  await ledger.change('changed-first', { key: 'k', kind: 'grant', amountMicro: 5 })
  t.match(await ledger.open('changed-first', 0), { available: 75, grantVersion: 2 })
  t.same((await verifyLedger(store)).problems, [])
})

t.test('a change is made once per key', async (t) => {
  const { ledger } = openTestLedger(t)
  await ledger.open('a', 0)
  const grant = { key: 'k1', kind: 'grant', amountMicro: 50, note: 'n', actorId: 'admin' } as const
  const made = await ledger.change('a', grant)
  t.strictSame(made, { entryId: 'g:a:k1', availableMicro: 50, heldMicro: 0, isDuplicate: false })
  t.strictSame(await ledger.change('a', grant), { ...made, isDuplicate: true })
  await t.rejects(ledger.change('a', { ...grant, amountMicro: 51 }), { code: 'idempotency_mismatch' })
  await t.rejects(ledger.change('a', { ...grant, kind: 'adjust' }), { code: 'idempotency_mismatch' })
  await t.rejects(ledger.change('a', { ...grant, note: 'other' }), { code: 'idempotency_mismatch' })
  t.match(await ledger.change('a', { key: 'k2', kind: 'adjust', amountMicro: -50 }), { availableMicro: 0 })
  await t.rejects(ledger.change('a', { key: 'k3', kind: 'adjust', amountMicro: -1 }), {
    code: 'balance_would_be_negative'
  })
  await t.rejects(ledger.change('nobody', grant), { code: 'user_not_found' })
  await t.rejects(ledger.change('a', { ...grant, amountMicro: 0 }))
  await ledger.open('a:b', 0)
  await ledger.change('a:b', { key: 'c', kind: 'grant', amountMicro: 1 })
  t.notSame((await ledger.change('a', { key: 'b:c', kind: 'grant', amountMicro: 1 })).isDuplicate, true)
})

t.test('concurrent tries of one change make it once, and all are told', async (t) => {
  const { ledger, store } = openTestLedger(t)
  await ledger.open('a', 0)
  const tries = Array.from({ length: 20 }, () => ledger.change('a', { key: 'k', kind: 'grant', amountMicro: 7 }))
  const replies = await Promise.all(tries)
  t.equal(replies.filter((reply) => !reply.isDuplicate).length, 1)
  t.ok(replies.every((reply) => reply.availableMicro === 7))
  const debits = Array.from({ length: 9 }, (_, i) =>
    ledger.change('a', { key: `d${i}`, kind: 'adjust', amountMicro: -3 })
  )
  const results = await Promise.allSettled(debits)
  t.equal(results.filter((result) => result.status === 'fulfilled').length, 2)
  t.same((await verifyLedger(store)).problems, [])
})

t.test('what is held cannot be taken', async (t) => {
  const { ledger, run } = openTestLedger(t)
  await ledger.open('a', 100)
  await ledger.reserve({ ...run(), amountMicro: 60 })
  await t.rejects(ledger.change('a', { key: 'k', kind: 'adjust', amountMicro: -41 }), {
    code: 'balance_would_be_negative'
  })
  t.match(await ledger.change('a', { key: 'k', kind: 'adjust', amountMicro: -40 }), {
    availableMicro: 0,
    heldMicro: 60
  })
})

t.test('setting makes the target what is available, by one entry', async (t) => {
  const { ledger, run } = openTestLedger(t)
  await ledger.open('a', 100)
  const hold = await ledger.reserve({ ...run(), amountMicro: 60 })
  const set = { key: 's1', targetMicro: 10, note: 'n', actorId: 'admin' }
  t.match(await ledger.setAvailable('a', set), {
    entryId: 'g:a:s1',
    availableMicro: 10,
    heldMicro: 60,
    isDuplicate: false
  })
  t.match(await ledger.setAvailable('a', set), { availableMicro: 10, isDuplicate: true })
  await t.rejects(ledger.setAvailable('a', { ...set, targetMicro: 11 }), { code: 'idempotency_mismatch' })
  await t.rejects(ledger.change('a', { key: 's1', kind: 'adjust', amountMicro: -30, note: 'n' }), {
    code: 'idempotency_mismatch'
  })
  t.match(await ledger.setAvailable('a', { ...set, key: 's2' }), { entryId: null, availableMicro: 10 })
  await t.rejects(ledger.setAvailable('a', { ...set, key: 's3', targetMicro: -1 }))
  const [raised] = await Promise.all([
    ledger.setAvailable('a', { ...set, key: 's4', targetMicro: 500 }),
    ledger.void(hold)
  ])
  t.ok(raised.availableMicro === 500 || raised.availableMicro === 560)
})

t.test('a balance stays a safe integer', async (t) => {
  const { ledger } = openTestLedger(t)
  await ledger.open('a', Number.MAX_SAFE_INTEGER)
  await t.rejects(ledger.change('a', { key: 'k', kind: 'grant', amountMicro: 1 }), { code: 'validation_error' })
})
