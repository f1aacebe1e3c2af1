import t from 'tap'
import { verifyAccounting } from '../../src/credits/verify-accounting.ts'
import { createFakeClock } from '../clock.ts'
import type { AccountingFault } from '../stand-in/accounting-service.ts'
import { CREDIT, customer, FORMS, openAccounting, USER } from './accounting-open.ts'

const BALANCE = /^GET /
const DEDUCT = /deduct|remove/

for (const form of FORMS) {
  /** The fault of the first try; what comes of the charge, how often it was deducted, and the items it leaves. */
  const table: [string, AccountingFault, { state: string; deducted: number; items: string[] }][] = [
    ...[401, 403, 404, 429].map((status): [string, AccountingFault, (typeof table)[number][2]] => [
      `${status}: nothing happened, so it is sent again`,
      { status },
      { state: 'settled', deducted: 1, items: [] }
    ]),
    ...[400, 402, 409, 422].map((status): [string, AccountingFault, (typeof table)[number][2]] => [
      `${status}: refused`,
      { status },
      { state: 'refused', deducted: 0, items: ['refused'] }
    ]),
    ['500 and nothing done', { status: 500 }, { state: 'settled', deducted: 1, items: ['repeated'] }],
    ['500 and done', { status: 500, isDone: true }, { state: 'settled', deducted: 1, items: ['assumed'] }],
    ['reset and nothing done', { reset: true }, { state: 'settled', deducted: 1, items: ['repeated'] }],
    ['reset and done', { reset: true, isDone: true }, { state: 'settled', deducted: 1, items: ['assumed'] }],
    [
      'garbage and done',
      { status: 200, headers: { 'content-type': 'text/html' }, body: '<p>', isDone: true },
      { state: 'settled', deducted: 1, items: ['assumed'] }
    ],
    [
      'done, and told too late',
      { gates: { answer: 'too late' } },
      { state: 'settled', deducted: 1, items: ['assumed'] }
    ]
  ]
  for (const [title, fault, { state, deducted, items: kinds }] of table)
    t.test(`${form}: ${title}`, async (t) => {
      const { service, store, charge, charges, items, outbox, due, account } = await openAccounting(t, {
        form,
        timeoutMs: 300
      })
      service.balances.set(USER, 5)
      const id = await charge(2)
      outbox.remember(id, customer())
      service.next(fault, DEDUCT)
      await outbox.send(USER)
      service.open('too late')
      await due()
      await outbox.send(USER)
      t.match(await charges(), [{ id, state }])
      t.equal(service.deductions.length, deducted)
      t.ok(service.deductions.every(({ key }) => key === id))
      t.equal(service.balances.get(USER), 5 - 2 * deducted)
      t.same(
        (await items()).map(({ kind }) => kind),
        kinds
      )
      t.match(await account(), { unsettled: 0, cleared: 2 * CREDIT, committed: 2 * CREDIT })
      t.same((await verifyAccounting(store)).problems, [])
    })

  t.test(`${form}: without the bearer of the client the service token goes, and after 401 too`, async (t) => {
    const { service, charge, outbox, due } = await openAccounting(t, { form })
    service.balances.set(USER, 5)
    await charge()
    await outbox.send(USER)
    outbox.remember(await charge(), customer())
    service.next({ status: 403 }, DEDUCT)
    await outbox.send(USER)
    await due()
    await outbox.send(USER)
    outbox.remember(await charge(), { ...customer(), expiresAt: Date.now() - 1 })
    await outbox.send(USER)
    outbox.remember(await charge(), customer())
    service.next({ status: 401 }, BALANCE)
    await outbox.send(USER)
    await due()
    await outbox.send(USER)
    t.same(
      service.deductions.map(({ by }) => by),
      Array.from({ length: 4 }, () => 'gateway-service')
    )
    outbox.remember(await charge(), customer())
    await outbox.send(USER)
    t.equal(service.deductions.at(-1)?.by, USER)
  })
}

t.test('back-off: a second, then twice as long, up to five minutes, as long as the service asks', async (t) => {
  const clock = createFakeClock(Date.now())
  const { service, charge, outbox, account } = await openAccounting(t, { clock })
  service.balances.set(USER, 5)
  await charge()
  service.always(({ method }) => (method === 'GET' ? undefined : { status: 404 }))
  const waits: number[] = []
  for (let tries = 0; tries < 11; tries++) {
    await outbox.send(USER)
    waits.push(((await account())?.sendAt ?? 0) - clock.now())
    clock.advance(waits.at(-1) ?? 0)
  }
  t.same(
    waits.map((ms) => ms / 1000),
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
  )
  service.always(() => ({ status: 429, headers: { 'retry-after': '77' } }))
  t.equal(await outbox.sendDue(), 1)
  service.always(undefined)
  clock.advance(300_000)
  t.equal(await outbox.sendDue(), 1)
  t.equal(service.deductions.length, 1)
  t.equal(await outbox.sendDue(), 0)
})

t.test('one after the other and in order, whoever sends', async (t) => {
  const first = await openAccounting(t)
  const { service, store, charge } = first
  const second = await openAccounting(t, { store, service })
  service.balances.set(USER, 100)
  const ids: string[] = []
  for (let index = 0; index < 20; index++) ids.push(await charge())
  let underWay = 0
  let most = 0
  service.always(({ method }) => {
    if (method !== 'GET') most = Math.max(most, ++underWay)
    if (method !== 'GET') setImmediate(() => underWay--)
    return undefined
  })
  while (service.deductions.length < 20)
    await Promise.all([first, second, first, second].map(({ outbox }) => outbox.send(USER)))
  t.same(service.deductions.map(({ key }) => key).sort(), ids.sort(), 'each once')
  t.equal(most, 1)
  t.same(await first.items(), [])
  t.match(await first.account(), { unsettled: 0, cleared: 20 * CREDIT })
  t.same([...first.errors, ...second.errors], [])
})

t.test('a sender that died is followed by another, which takes its try for unknown', async (t) => {
  for (const isDone of [true, false]) {
    const clock = createFakeClock(Date.now())
    const dead = await openAccounting(t, { clock, timeoutMs: 5000 })
    const { service, store, charge } = dead
    service.balances.set(USER, 5)
    await charge()
    // Its client is never answered, and its clock stands still: it does nothing any more.
    service.next(isDone ? { gates: { answer: 'never' } } : { gates: { before: 'never' } }, DEDUCT)
    void dead.outbox.send(USER)
    await service.reached('never')
    const heir = await openAccounting(t, { store, service, timeoutMs: 5000 })
    await heir.outbox.send(USER)
    t.equal(service.requests.filter(({ method }) => method !== 'GET').length, 1, 'not before the lease has run out')
    await heir.due()
    await heir.outbox.send(USER)
    t.match(await heir.charges(), [{ state: 'settled' }])
    t.match(await heir.items(), [{ kind: isDone ? 'assumed' : 'repeated', isUncertain: true }])
    t.equal(service.deductions.length, 1)
  }
})

t.test('a result that comes when the turn is lost is listed, and changes nothing', async (t) => {
  const slow = await openAccounting(t, { timeoutMs: 5000 })
  const { service, store, charge } = slow
  service.balances.set(USER, 5)
  await charge()
  service.next({ gates: { before: 'slow' } }, DEDUCT)
  const sent = slow.outbox.send(USER)
  await service.reached('slow')
  const other = await openAccounting(t, { store, service, timeoutMs: 5000 })
  await other.due()
  await other.outbox.send(USER)
  t.match(await other.charges(), [{ state: 'settled' }])
  service.open('slow')
  await sent
  const kinds = (await other.items()).map(({ kind }) => kind)
  t.same(kinds.sort(), ['late', 'repeated'])
  t.equal(service.deductions.length, 2, 'the case that this service makes impossible to avoid')
  t.match(await other.account(), { unsettled: 0, cleared: CREDIT })
  t.match(slow.news, [{ outcome: 'late' }])
})

t.test('where the service knows its keys, nothing is taken twice', async (t) => {
  const { service, charge, outbox, due, charges } = await openAccounting(t, { timeoutMs: 200, isIdempotent: true })
  service.balances.set(USER, 5)
  await charge()
  service.next({ gates: { before: 'late' } }, DEDUCT)
  await outbox.send(USER)
  await due()
  await outbox.send(USER)
  service.open('late')
  t.match(await charges(), [{ state: 'settled' }])
  t.equal(service.balances.get(USER), 4)
})
