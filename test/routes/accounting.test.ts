import t from 'tap'
import { eventsOf } from '../prediction/tools.ts'
import type { AccountingFault } from '../stand-in/accounting-service.ts'
import { buildExternalApp } from './accounting-open.ts'

const FORMS = ['seed', 'v1'] as const
const BALANCE = /^GET /
const DEDUCT = /deduct|remove/

for (const form of FORMS) {
  t.test(`${form}: a prediction is held here, answered, and deducted there once`, async (t) => {
    const { service, user, predict, balance, transactions, settled, problems, charges } = await buildExternalApp(t, {
      form
    })
    t.match((await balance()).json(), { user_id: user.id, credits_remaining: 10, credits_held: 0 })
    const reply = (await predict()).json()
    t.match(reply, { credits_charged: 1, credits_remaining: 9 })
    await settled()
    t.match(service.deductions, [{ userId: user.id, credits: 1, by: user.id }])
    const [charge] = await charges()
    t.equal(service.deductions[0]?.key, charge?.id)
    t.match((await balance()).json(), { credits_remaining: 9, credits_held: 0 })
    t.match(await transactions(), {
      count: 1,
      transactions: [
        {
          id: charge?.id,
          kind: 'charge',
          amount: -1,
          state: 'settled',
          session_id: reply.session_id,
          message_id: reply.message_id
        }
      ]
    })
    t.same(await problems(), [])
  })

  t.test(`${form}: whoever the service is at odds with is told what it is, and Flowise hears nothing`, async (t) => {
    const { service, user, predict, balance, standIn } = await buildExternalApp(t, { form, timeoutMs: 200, credits: 1 })
    const faults: AccountingFault[] = [
      ...[401, 403, 404, 429, 500].map((status) => ({ status })),
      { reset: true },
      { gates: { before: 'never' } },
      { status: 200, body: '{"credits":"many"}' }
    ]
    for (const fault of faults) {
      service.next(fault, BALANCE)
      const refused = await predict()
      t.same([refused.statusCode, refused.json().code], [503, 'accounting_unavailable'], JSON.stringify(fault))
      t.ok(refused.headers['retry-after'])
      t.notMatch(refused.body, /many|127\.0\.0\.1/)
      service.next(fault, BALANCE)
      t.equal((await balance()).statusCode, 503)
    }
    service.balances.set(user.id, 0)
    const poor = await predict()
    t.match(poor.json(), { status: 402, code: 'insufficient_credits', available: 0, held: 0, needed: 1 })
    t.equal(standIn.predictions.length, 0)
    t.same(service.deductions, [])
  })
}

t.test('v1: one usage record per prediction that reached Flowise', async (t) => {
  const { service, predict, standIn, until, settled, user, chatflowId } = await buildExternalApp(t, { form: 'v1' })
  const reply = (await predict()).json()
  await until(() => service.usage.length === 1)
  await settled()
  const [deduction] = service.deductions
  t.same(service.usage[0], {
    service: 'chat',
    operation: chatflowId,
    credits: 1,
    metadata: {
      success: true,
      streaming: false,
      charge_id: deduction?.key,
      session_id: reply.session_id,
      message_id: reply.message_id
    }
  })
  standIn.next({ status: 500, body: '{}' })
  t.equal((await predict()).statusCode, 502)
  await until(() => service.usage.length === 2)
  t.match(service.usage[1], { credits: 0, metadata: { success: false, charge_id: null } })
  service.balances.set(user.id, 0)
  t.equal((await predict()).statusCode, 402)
  service.balances.set(user.id, 5)
  service.next({ status: 500 }, /usage/)
  t.equal((await predict()).statusCode, 200, 'a record that fails changes nothing')
  await settled()
  await until(() => service.requests.filter(({ url }) => url.includes('usage')).length === 3)
  t.equal(service.usage.length, 2)
  t.equal(service.deductions.length, 2)
})

t.test('an answer does not wait for the deduction, which counts as held until it is known', async (t) => {
  const { service, predict, balance, transactions, settled } = await buildExternalApp(t, { credits: 2 })
  service.next({ gates: { before: 'deduct' } }, DEDUCT)
  t.match((await predict()).json(), { credits_charged: 1, credits_remaining: 1 })
  await service.reached('deduct')
  t.match((await balance()).json(), { credits_remaining: 1, credits_held: 1 })
  t.match(await transactions(), { transactions: [{ state: 'pending', amount: -1 }] })
  t.match((await predict()).json(), { credits_charged: 1, credits_remaining: 0 })
  const refused = await predict()
  t.match(refused.json(), { status: 402, reason: 'held_by_inflight', available: 0, held: 2 })
  service.open('deduct')
  await settled()
  t.equal(service.deductions.length, 2)
  t.match((await predict()).json(), { reason: 'insufficient_credits', held: 0 })
})

t.test(
  'a balance that fell meanwhile: the answer stands, the charge is refused, listed, and not repeated',
  async (t) => {
    for (const form of FORMS) {
      const test = await buildExternalApp(t, { form, credits: 1 })
      const { service, user, predict, standIn, settled, transactions, items, problems } = test
      standIn.next({ gates: { head: 'answer' } })
      const reply = predict()
      await standIn.gate('answer').reached
      service.balances.set(user.id, 0.5)
      standIn.gate('answer').open()
      t.match((await reply).json(), { credits_charged: 1 })
      await settled()
      t.match(await transactions(), { transactions: [{ state: 'refused' }] })
      t.match(await items(), [{ kind: 'refused', isUncertain: false, amount: 1_000_000 }])
      t.same(service.deductions, [], 'nothing was taken of what is too little')
      t.equal(service.balances.get(user.id), 0.5)
      t.same(await problems(), [])
      const metrics = (await test.request('GET', '/metrics')).body
      t.match(metrics, 'gateway_accounting_charges_total{outcome="refused"} 1')
    }
  }
)

t.test('balances are changed there alone, and prices are whole credits', async (t) => {
  const { request, admin, user, chatflowId, service } = await buildExternalApp(t)
  const options = { token: admin.token, headers: { 'idempotency-key': 'k' } }
  for (const action of ['allocate', 'adjust', 'set']) {
    const body = { amount: 1, note: 'x' }
    const reply = await request('POST', `/admin/users/${user.id}/credits/${action}`, { ...options, body })
    t.same([reply.statusCode, reply.json().code], [409, 'managed_externally'], action)
  }
  const form = { username: 'rich', email: 'rich@example.com', password: 'a user password', credits: 5 }
  t.equal((await request('POST', '/admin/users', { ...options, body: form })).json().code, 'managed_externally')
  const patch = (body: unknown) => request('PATCH', `/admin/chatflows/${chatflowId}`, { ...options, body })
  t.match((await patch({ price: 1.5 })).json(), { status: 422, errors: [{ msg: /whole credits/ }] })
  t.equal((await patch({ price: 2 })).statusCode, 200)
  const seen = await request('GET', `/admin/users/${user.id}/credits`, options)
  t.match(seen.json(), { user_id: user.id, credits_remaining: 10, credits_held: 0 })
  t.match(service.requests.at(-1)?.claims, { sub: user.id }, 'asked as that user')
  t.match((await request('GET', '/info')).json(), { accounting_mode: 'external' })
})

t.test('a frozen account, a free chatflow, and an outage that readiness only shows', async (t) => {
  const { request, admin, user, chatflowId, service, predict } = await buildExternalApp(t)
  const freeze = (frozen: boolean) =>
    request('PUT', `/admin/users/${user.id}/credits/frozen`, { token: admin.token, body: { frozen } })
  await freeze(true)
  t.equal((await predict()).json().code, 'account_frozen')
  await freeze(false)
  t.equal((await predict()).statusCode, 200)
  await request('PATCH', `/admin/chatflows/${chatflowId}`, { token: admin.token, body: { price: 0 } })
  t.match((await request('GET', '/ready')).json(), { status: 'ready', checks: { accounting: 'ok' } })
  await service.close()
  t.match((await predict()).json(), { credits_charged: 0 }, 'what costs nothing needs nobody')
})

t.test('readiness shows a service that is down and stays ready', async (t) => {
  const { request, service } = await buildExternalApp(t)
  await service.close()
  const ready = await request('GET', '/ready')
  t.same([ready.statusCode, ready.json().checks.accounting], [200, 'down'])
})

t.test('a hundred at once on a balance for ten: ten run, streams too', async (t) => {
  const { predict, standIn, service, settled, user, items, problems } = await buildExternalApp(t, {
    timeoutMs: 30_000,
    env: { MAX_CONCURRENT_PER_USER: '1000' }
  })
  standIn.always({ gates: { head: 'all' } })
  let answered = 0
  const refused = Promise.withResolvers<void>()
  const replies = Array.from({ length: 100 }, async (_, index) => {
    const reply = await predict({ streaming: index % 2 === 0 })
    if (++answered === 90) refused.resolve()
    return reply
  })
  await refused.promise
  standIn.gate('all').open()
  const statuses = (await Promise.all(replies)).map(({ statusCode }) => statusCode)
  t.equal(statuses.filter((status) => status === 200).length, 10)
  t.equal(statuses.filter((status) => status === 402).length, 90)
  await settled()
  t.equal(service.balances.get(user.id), 0)
  t.equal(service.deductions.length, 10)
  t.same(await items(), [])
  t.same(await problems(), [])
})

t.test('a stream tells what it cost and what is left', async (t) => {
  const { predict } = await buildExternalApp(t)
  const metadata = eventsOf((await predict({ streaming: true })).body).find(({ event }) => event === 'metadata')
  t.match(metadata?.data.data, { credits_charged: 1, credits_remaining: 9 })
})
