import t from 'tap'
import { buildTestApp } from '../helper.ts'

function outcome(reply: { statusCode: number; json(): { code?: string } }) {
  return [reply.statusCode, reply.json().code]
}

async function setUp(t: Parameters<typeof buildTestApp>[0], env: Record<string, string> = {}) {
  const test = await buildTestApp(t, { env })
  const { id, token } = await test.createUser()
  let keys = 0
  const url = (end: string) => `/api/v1/admin/users/${id}/credits${end}`
  return {
    ...test,
    id,
    token,
    change: (action: string, body: Record<string, unknown>, key: string | null = `key-${++keys}`) =>
      test.request('POST', url(`/${action}`), {
        token: test.admin.token,
        body,
        headers: key === null ? {} : { 'idempotency-key': key }
      }),
    freeze: (frozen: unknown) => test.request('PUT', url('/frozen'), { token: test.admin.token, body: { frozen } }),
    balance: async () => (await test.request('GET', '/chat/credits', { token })).json(),
    transactions: (query = '') => test.request('GET', `/chat/credits/transactions?${query}`, { token }),
    asAdmin: (end: string) => test.request('GET', url(end), { token: test.admin.token }),
    audit: async () =>
      (await test.request('GET', `/admin/audit?target=${id}`, { token: test.admin.token })).json().entries
  }
}

t.test('an account starts with the default credits, granted once', async (t) => {
  const { balance, transactions, id } = await setUp(t, { DEFAULT_CREDITS: '2.5' })
  t.match(await balance(), { user_id: id, credits_remaining: 2.5, credits_held: 0, last_updated: /Z$/ })
  await Promise.all([balance(), balance(), balance()])
  const page = (await transactions()).json()
  t.match(page, { count: 1, next_cursor: null })
  t.match(page.transactions[0], {
    kind: 'grant',
    amount: 2.5,
    state: 'settled',
    chatflow_id: null,
    note: null,
    created_at: /Z$/
  })
})

t.test('allocate, adjust and set answer the balance they made', async (t) => {
  const { change, balance, transactions, asAdmin, id } = await setUp(t)
  const given = (await change('allocate', { amount: 10.000001, note: 'welcome' })).json()
  t.match(given, {
    user_id: id,
    amount: 10.000001,
    credits_remaining: 10.000001,
    credits_held: 0,
    transaction_id: String
  })
  t.match((await change('adjust', { amount: -4, note: 'refund' })).json(), { amount: -4, credits_remaining: 6.000001 })
  t.match((await change('set', { amount: 1, note: 'reset' })).json(), { amount: 1, credits_remaining: 1 })
  t.match(await balance(), { credits_remaining: 1 })
  const rows = (await transactions()).json().transactions
  t.strictSame(
    rows.map(({ kind, amount, note }: { kind: string; amount: number; note: string }) => [kind, amount, note]),
    [
      ['adjust', -5.000001, 'reset'],
      ['adjust', -4, 'refund'],
      ['grant', 10.000001, 'welcome']
    ]
  )
  t.equal(rows[2].id, given.transaction_id)
  t.strictSame((await asAdmin('/transactions')).json().transactions, rows)
  t.strictSame((await asAdmin('')).json(), await balance())
})

t.test('setting the balance to what it is makes no entry', async (t) => {
  const { change, transactions, audit } = await setUp(t)
  await change('allocate', { amount: 3 })
  const before = (await audit()).length
  const reply = (await change('set', { amount: 3, note: 'same' })).json()
  t.match(reply, { credits_remaining: 3, transaction_id: null })
  t.equal((await transactions()).json().count, 1)
  t.equal((await audit()).length, before)
})

t.test('taking more than there is changes nothing, and the key may be used again', async (t) => {
  const { change, balance } = await setUp(t)
  await change('allocate', { amount: 3 })
  t.strictSame(outcome(await change('adjust', { amount: -3.000001, note: 'x' }, 'take')), [
    409,
    'balance_would_be_negative'
  ])
  t.match(await balance(), { credits_remaining: 3 })
  await change('allocate', { amount: 1 })
  t.match((await change('adjust', { amount: -3.000001, note: 'x' }, 'take')).json(), { credits_remaining: 0.999999 })
})

t.test('the same key and body answer the stored result; another body is 422', async (t) => {
  const { change, balance, audit } = await setUp(t)
  const first = await change('allocate', { amount: 5, note: 'gift' }, 'once')
  t.notOk('idempotency-replayed' in first.headers)
  await change('allocate', { amount: 1 })
  const again = await change('allocate', { amount: 5, note: 'gift' }, 'once')
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.strictSame(again.json(), first.json())
  t.strictSame(outcome(await change('allocate', { amount: 6, note: 'gift' }, 'once')), [422, 'idempotency_mismatch'])
  t.strictSame(outcome(await change('adjust', { amount: 5, note: 'gift' }, 'once')), [422, 'idempotency_mismatch'])
  t.match(await balance(), { credits_remaining: 6 })
  const entries = (await audit()).filter(({ action }: { action: string }) => action === 'credits.allocate')
  t.equal(entries.length, 2, 'one entry per change')
})

t.test('many repeats at once change the balance once', async (t) => {
  const { change, balance, audit } = await setUp(t)
  const replies = await Promise.all(Array.from({ length: 20 }, () => change('allocate', { amount: 5 }, 'burst')))
  for (const { statusCode } of replies) t.ok(statusCode === 200 || statusCode === 409, String(statusCode))
  t.match(await balance(), { credits_remaining: 5 })
  t.equal((await audit()).filter(({ action }: { action: string }) => action === 'credits.allocate').length, 1)
})

t.test('a key is required, as header or member, and well-formed', async (t) => {
  const { change } = await setUp(t)
  t.strictSame(outcome(await change('allocate', { amount: 1 }, null)), [422, 'validation_error'])
  t.equal((await change('allocate', { amount: 1, idempotency_key: 'in-the-body' }, null)).statusCode, 200)
  const again = await change('allocate', { amount: 1 }, 'in-the-body')
  t.equal(again.headers['idempotency-replayed'], 'true', 'header and member are one space')
  for (const key of ['', 'a b', 'ü', 'x'.repeat(129)])
    t.strictSame(outcome(await change('allocate', { amount: 1 }, key)), [422, 'validation_error'], key)
  for (const key of ['', 'a b', 'x'.repeat(129), 5])
    t.strictSame(outcome(await change('allocate', { amount: 1, idempotency_key: key }, null)), [
      422,
      'validation_error'
    ])
  t.equal(
    (await change('allocate', { amount: 1 }, 'opening')).statusCode,
    200,
    'no key of a client meets the ledger’s own'
  )
  t.equal((await change('allocate', { amount: 1 }, 'first')).statusCode, 200)
})

t.test('amounts have at most six decimals and sensible bounds', async (t) => {
  const { change, balance } = await setUp(t)
  const bad: [string, unknown][] = [
    ['allocate', 0],
    ['allocate', -1],
    ['allocate', '1'],
    ['allocate', null],
    ['allocate', 0.0000001],
    ['allocate', 1_000_000_001],
    ['allocate', 1e300],
    ['adjust', 0],
    ['adjust', -1e10],
    ['set', -0.5],
    ['set', 1.2345678]
  ]
  for (const [action, amount] of bad)
    t.strictSame(
      outcome(await change(action, { amount, note: 'x' })),
      [422, 'validation_error'],
      `${action} ${String(amount)}`
    )
  t.strictSame(outcome(await change('adjust', { amount: 1 })), [422, 'validation_error'], 'adjust needs a note')
  t.strictSame(outcome(await change('set', { amount: 1 })), [422, 'validation_error'], 'set needs a note')
  t.strictSame(outcome(await change('allocate', { amount: 1, note: 'x'.repeat(1001) })), [422, 'validation_error'])
  t.match(await balance(), { credits_remaining: 0 })
})

t.test('unknown and deleted users have no credits to change', async (t) => {
  const { request, admin, app } = await setUp(t)
  for (const [method, end] of [
    ['GET', ''],
    ['GET', '/transactions'],
    ['POST', '/allocate'],
    ['PUT', '/frozen']
  ] as const) {
    const body = { amount: 1, frozen: true, idempotency_key: 'k' }
    const sent = method === 'GET' ? {} : { body }
    const reply = await request(method, `/admin/users/nobody/credits${end}`, { token: admin.token, ...sent })
    t.strictSame(outcome(reply), [404, 'user_not_found'], `${method} ${end}`)
  }
  t.equal(await app.ledger.account('nobody'), undefined, 'and no account came of it')
})

t.test('only administrators see and change the credits of others', async (t) => {
  const { request, token, id } = await setUp(t)
  for (const [method, end] of [
    ['GET', ''],
    ['GET', '/transactions'],
    ['POST', '/allocate'],
    ['POST', '/adjust'],
    ['POST', '/set'],
    ['PUT', '/frozen']
  ] as const)
    t.strictSame(outcome(await request(method, `/admin/users/${id}/credits${end}`, { token, body: {} })), [
      403,
      'role_required'
    ])
  t.strictSame(outcome(await request('GET', '/chat/credits')), [401, 'not_authenticated'])
  t.strictSame(outcome(await request('GET', '/chat/credits/transactions')), [401, 'not_authenticated'])
})

t.test('an account is frozen and thawed, and each change is one audit entry', async (t) => {
  const { freeze, id, app, audit } = await setUp(t)
  t.strictSame((await freeze(true)).json(), { user_id: id, frozen: true })
  t.equal((await app.ledger.account(id))?.status, 'frozen')
  await freeze(true)
  t.match((await audit())[0], { action: 'credits.freeze', before: { frozen: false }, after: { frozen: true } })
  t.strictSame((await freeze(false)).json(), { user_id: id, frozen: false })
  t.equal((await audit()).filter(({ action }: { action: string }) => action === 'credits.freeze').length, 2)
  await Promise.all(Array.from({ length: 5 }, () => freeze(true)))
  t.equal((await audit()).filter(({ action }: { action: string }) => action === 'credits.freeze').length, 3)
  t.strictSame(outcome(await freeze('yes')), [422, 'validation_error'])
})

t.test('transactions are paged, stable while new ones arrive', async (t) => {
  const { change, transactions } = await setUp(t)
  for (const amount of [1, 2, 3]) await change('allocate', { amount })
  const first = (await transactions('limit=2')).json()
  t.match(first, { count: 2, next_cursor: String })
  await change('allocate', { amount: 4 })
  const second = (await transactions(`limit=2&cursor=${first.next_cursor}`)).json()
  t.match(second, { count: 1, next_cursor: null })
  const amounts = [...first.transactions, ...second.transactions].map(({ amount }: { amount: number }) => amount)
  t.strictSame(amounts, [3, 2, 1])
  t.strictSame(outcome(await transactions('cursor=nonsense')), [422, 'validation_error'])
  t.strictSame(outcome(await transactions('limit=101')), [422, 'validation_error'])
})

t.test('a cursor leads on whatever ids it is made of', async (t) => {
  const { app, request, admin } = await buildTestApp(t)
  const userId = '日'.repeat(128)
  await app.users.seen({ userId, username: null, email: null, role: 'user' })
  const url = `/api/v1/admin/users/${encodeURIComponent(userId)}/credits`
  const keys = ['1', '2'].map((end) => '"'.repeat(127) + end)
  for (const key of keys) {
    const headers = { 'idempotency-key': key }
    const reply = await request('POST', `${url}/allocate`, { token: admin.token, body: { amount: 1 }, headers })
    t.equal(reply.statusCode, 200)
  }
  const first = await request('GET', `${url}/transactions?limit=1`, { token: admin.token })
  const cursor = first.json().next_cursor
  const second = await request('GET', `${url}/transactions?limit=1&cursor=${cursor}`, { token: admin.token })
  t.match(second.json(), { count: 1, next_cursor: null })
  t.not(second.json().transactions[0].id, first.json().transactions[0].id)
})
