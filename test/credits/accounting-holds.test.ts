import t from 'tap'
import { AppError } from '../../src/errors.ts'
import { createFakeClock } from '../clock.ts'
import { CREDIT, customer, openAccounting, USER } from './accounting-open.ts'

const DEDUCT = /deduct|remove/

/** What the client is told with the 402. */
async function refusalOf(attempt: Promise<unknown>): Promise<unknown> {
  const error = await attempt.then(
    () => undefined,
    (failure: unknown) => failure
  )
  return error instanceof AppError && error.code === 'insufficient_credits' ? error.params.extra : error
}

t.test('what is held here and what is on its way count, and what was deducted does not count twice', async (t) => {
  const { service, reserve, charge, outbox, account } = await openAccounting(t)
  service.balances.set(USER, 3)
  await reserve(1)
  await charge(1)
  t.match(await account(), { held: CREDIT, unsettled: CREDIT, cleared: 0, committed: 2 * CREDIT })
  t.match(await refusalOf(reserve(2)), { available: 1, held: 2, needed: 2, reason: 'held_by_inflight' })
  await outbox.send(USER)
  t.match(await account(), { held: CREDIT, unsettled: 0, cleared: CREDIT, committed: 2 * CREDIT, holdCount: 1 })
  t.notOk((await account())?.sendAt)
  await t.rejects(reserve(2), { code: 'insufficient_credits' })
  await t.resolves(reserve(1))
  t.match(await refusalOf(reserve(2)), { available: 0, held: 2, reason: 'held_by_inflight' })
  t.match(await refusalOf(reserve(3)), { available: 0, held: 2, reason: 'insufficient_credits' })
})

t.test('a charge that is deducted between our reading and our write is not free money', async (t) => {
  const { service, reserve, charge, outbox, account } = await openAccounting(t)
  service.balances.set(USER, 2)
  await charge(1)
  // The reading says 2; until it arrives, the charge is deducted and cleared.
  service.next({ status: 200, body: '{"credits":2}', gates: { answer: 'reading' } }, /^GET /)
  const both = Promise.allSettled([reserve(1), reserve(1)])
  await service.reached('reading')
  await outbox.send(USER)
  t.match(await account(), { unsettled: 0, cleared: CREDIT })
  service.open('reading')
  const outcomes = (await both).map(({ status }) => status)
  t.same(outcomes.sort(), ['fulfilled', 'rejected'])
  t.match(await account(), { held: CREDIT })
})

t.test('a refusal that only lasts until the outbox is through is not told', async (t) => {
  const { service, reserve, charge, outbox } = await openAccounting(t)
  service.balances.set(USER, 2)
  await charge(1)
  // Deducted there, and the answer is not here yet: for a moment the charge counts in both.
  service.next({ gates: { answer: 'deducted' } }, DEDUCT)
  const sent = outbox.send(USER)
  await service.reached('deducted')
  const held = reserve(1)
  await service.waitFor(() => service.requests.filter(({ method }) => method === 'GET').length >= 4)
  service.open('deducted')
  await t.resolves(held)
  await sent
})

t.test('repetitions are one hold, an extension needs a balance, and frozen accounts start nothing', async (t) => {
  const { service, holds, run, account } = await openAccounting(t)
  service.balances.set(USER, 3)
  await holds.open(USER)
  const own = holds.as(customer())
  const reservation = { ...run(), amountMicro: CREDIT }
  const hold = await own.reserve(reservation)
  t.equal((await own.reserve(reservation)).attempt, hold.attempt)
  const more = await own.extend(hold, CREDIT)
  t.equal(more?.amountMicro, 2 * CREDIT)
  t.equal(await own.extend(more ?? hold, 2 * CREDIT), undefined)
  service.always(() => ({ status: 500 }))
  t.equal(await own.extend(more ?? hold, CREDIT), undefined, 'without a balance there is no more')
  service.always(undefined)
  await holds.setFrozen(USER, true)
  await t.rejects(own.reserve({ ...run(), amountMicro: CREDIT }), { code: 'account_frozen' })
  await t.rejects(own.free(run()), { code: 'account_frozen' })
  t.match(await own.void(more ?? hold), { chargedMicro: 0, availableMicro: 3 * CREDIT })
  t.match(await account(), { held: 0, committed: 0, holdCount: 0 })
})

t.test('a hold whose process died is charged what it had used, through the outbox', async (t) => {
  const clock = createFakeClock(Date.now())
  const { service, holds, reserve, outbox, charges, account } = await openAccounting(t, { clock })
  service.balances.set(USER, 5)
  const [used, unused] = [await reserve(2), await reserve(1)]
  await holds.heartbeat(used, CREDIT)
  clock.advance(61_000)
  t.equal(await holds.expireDue(), 2)
  t.match(await charges(), [{ amount: CREDIT, runId: used.rid, state: 'pending' }])
  t.match(await account(), { held: 0, unsettled: CREDIT, committed: CREDIT })
  t.match(await holds.settle(used, 2 * CREDIT), { chargedMicro: CREDIT })
  t.match(await holds.settle(unused, CREDIT), { chargedMicro: 0 })
  await outbox.sendDue()
  t.equal(service.balances.get(USER), 4)
  t.match(service.deductions, [{ by: 'gateway-service' }], 'nobody has that bearer any more')
})

t.test('a balance below zero, and one that is not sufficient by its own word', async (t) => {
  const { service, reserve } = await openAccounting(t)
  service.balances.set(USER, -2)
  t.match(await refusalOf(reserve(1)), { available: 0, reason: 'insufficient_credits' })
  service.next({ status: 200, body: '{"credits":9,"sufficient":false}' }, /^GET /)
  t.match(await refusalOf(reserve(1)), { available: 0, reason: 'insufficient_credits' })
})
