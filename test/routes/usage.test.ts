import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { UsageRowView } from '../../src/usage/report-view.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { stored } from '../prediction/tools.ts'

const { echo, report } = DEMO_IDS
const DAY = 86_400_000
const NODES = [{ nodeId: 'a', data: { output: { usageMetadata: { input_tokens: 11, output_tokens: 4 } } } }]

/** Two users who have asked two chatflows on two days, some of it in vain. */
async function open(test: Parameters<typeof buildTestApp>[0]) {
  const clock = createFakeClock(Date.parse('2026-03-10T10:00:00Z'))
  const gateway = await buildTestApp(test, { clock, env: { JWT_EXPIRATION_HOURS: '8760' } })
  const { request, createUser, standIn, app, admin } = gateway
  const anna = await createUser({ username: '-anna', grants: [echo, report], credits: 100 })
  const ben = await createUser({ username: 'ben', grants: [echo], credits: 100 })
  const ask = (token: string, chatflow_id: string = echo) =>
    request('POST', '/chat/predict', { token, body: { chatflow_id, question: 'hi' } })
  await ask(anna.token)
  standIn.next({ body: JSON.stringify({ text: 'A', agentFlowExecutedData: NODES }) })
  await ask(anna.token, report)
  standIn.next({ status: 500 })
  await ask(ben.token)
  clock.advance(DAY)
  await ask(ben.token)
  const usage = async (query = '', token = admin.token) =>
    (await request('GET', `/admin/usage${query}`, { token })).json()
  return { ...gateway, app, clock, anna, ben, ask, usage }
}

t.test('administrators see what everybody used, by whatever they name', async (t) => {
  const gateway = await open(t)
  const { usage, anna, ben, request } = gateway
  const all = await usage()
  t.match(all, {
    from: '2026-02-10',
    to: '2026-03-11',
    rows: [
      { day: '2026-03-10', predictions: 3, completed: 2, failed: 1, credits_charged: 2, input_tokens: 11 },
      { day: '2026-03-11', predictions: 1, completed: 1, failed: 0, credits_charged: 1, total_tokens: 0 }
    ],
    count: 2,
    next_cursor: null,
    totals: { predictions: 4, completed: 3, stopped: 0, failed: 1, credits_charged: 3, total_tokens: 15 }
  })
  t.strictSame(
    Object.keys(all.rows[0]).filter((name) => /id|name/.test(name)),
    [],
    'no more than was asked for'
  )
  const charged = (await stored(gateway).entries()).filter(({ kind }) => kind === 'charge')
  t.equal(all.totals.credits_charged, -charged.reduce((sum, { delta }) => sum + delta, 0) / 1_000_000)

  const users = (await usage('?group_by=user,chatflow&from=2026-03-01&to=2026-03-31')).rows
  t.same(users.map((row: UsageRowView) => [row.username, row.chatflow_id, row.predictions]).toSorted(), [
    ['-anna', echo, 1],
    ['-anna', report, 1],
    ['ben', echo, 2]
  ])
  t.ok(users.every((row: UsageRowView) => typeof row.chatflow_name === 'string' && row.day === undefined))
  t.match(await usage('?group_by='), { rows: [{ predictions: 4, credits_charged: 3 }], count: 1 })
  t.match(await usage('?group_by=key'), { rows: [{ api_key_id: null, predictions: 4 }] })
  t.match(await usage(`?user_id=${ben.id}`), { totals: { predictions: 2, credits_charged: 1 } })
  t.match(await usage(`?chatflow_id=${report}`), { totals: { predictions: 1 } })
  t.match(await usage('?api_key_id=none'), { rows: [], totals: { predictions: 0 } })
  t.match(await usage('?from=2026-03-11&to=2026-03-11'), { totals: { predictions: 1 } })
  t.match(await request('GET', '/admin/usage', { token: anna.token }), { statusCode: 403 })
})

t.test('pages follow each other, and only the first one has the totals', async (t) => {
  const { usage } = await open(t)
  const whole = await usage('?group_by=day,user,chatflow,key')
  t.equal(whole.rows.length, 4)
  const rows: unknown[] = []
  let cursor = ''
  do {
    const page = await usage(`?group_by=day,user,chatflow,key&limit=1${cursor}`)
    rows.push(...page.rows)
    t.same(page.totals, cursor === '' ? whole.totals : null)
    cursor = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`
  } while (cursor !== '')
  t.same(rows, whole.rows)
})

t.test('users see their own and nothing else', async (t) => {
  const { request, anna, ben } = await open(t)
  const own = async (query: string, token: string) => (await request('GET', `/chat/usage${query}`, { token })).json()
  t.match(await own('?group_by=chatflow', anna.token), { totals: { predictions: 2, credits_charged: 2 }, count: 2 })
  t.match(await own('', ben.token), { totals: { predictions: 2, credits_charged: 1, failed: 1 } })
  t.match(
    await own(`?user_id=${anna.id}`, ben.token),
    { totals: { predictions: 2, credits_charged: 1 } },
    'nobody else'
  )
  t.match(await own('?group_by=user', ben.token), { status: 422, errors: [{ loc: ['query', 'group_by'] }] })
  t.match(await request('GET', '/chat/usage'), { statusCode: 401 })
})

t.test('what came by a key is told apart, and a key sees no more than it reaches', async (t) => {
  const { request, anna, usage, ask } = await open(t)
  const keyed = async (body: object) =>
    (await request('POST', '/api/v1/auth/api-keys', { token: anna.token, body: { name: 'k', ...body } })).json()
  const wide = await keyed({ scopes: ['chat', 'read'] })
  const narrow = await keyed({ scopes: ['chat', 'read'], chatflow_ids: [report] })
  const paid = (await ask(wide.api_key)).json()
  t.match((await ask(narrow.api_key, report)).statusCode, 200)
  t.match(await usage(`?group_by=key&user_id=${anna.id}`), {
    rows: [
      { predictions: 1, credits_charged: 1 },
      { predictions: 1, credits_charged: 1 },
      { api_key_id: null, predictions: 2 }
    ],
    totals: { predictions: 4 }
  })
  t.match(await usage(`?api_key_id=${wide.id}`), { totals: { predictions: 1, credits_charged: 1 } })
  const own = async (url: string, token: string) => request('GET', `/chat/${url}`, { token })
  t.match((await own('usage', wide.api_key)).json(), { totals: { predictions: 4 } })
  t.match((await own('usage', narrow.api_key)).json(), { totals: { predictions: 2 } })
  t.match((await own(`usage?chatflow_id=${echo}`, narrow.api_key)).json(), { totals: { predictions: 0 } })
  t.match((await own(`receipts/${paid.message_id}`, anna.token)).json(), { api_key_id: wide.id, state: 'settled' })
  t.match((await own(`receipts/${paid.message_id}`, wide.api_key)).json(), { message_id: paid.message_id })
  t.match(await own(`receipts/${paid.message_id}`, narrow.api_key), { statusCode: 404 })
  t.match(await own('usage', (await keyed({ scopes: ['chat'] })).api_key), { statusCode: 403 })
})

t.test('what cannot be asked is refused', async (t) => {
  const { usage } = await open(t)
  const table: [string, string][] = [
    ['?from=2026-02-30', 'from'],
    ['?from=yesterday', 'from'],
    ['?to=2026-13-01', 'to'],
    ['?from=2026-03-12', 'from'],
    ['?from=2025-12-09&to=2026-03-11', 'from'],
    ['?group_by=day,password', 'group_by'],
    ['?cursor=x', 'cursor'],
    ['?limit=101', 'limit']
  ]
  for (const [query, member] of table)
    t.match(await usage(query), { status: 422, errors: [{ loc: ['query', member] }] }, query)
  t.match(await usage('?from=2025-12-10&to=2026-03-11'), { from: '2025-12-10' }, '92 days are allowed')
})

t.test('the table has every row, and runs nothing in a spreadsheet', async (t) => {
  const { request, admin, ben } = await open(t)
  const table = (url: string, token: string) => request('GET', url, { token, headers: { accept: 'text/csv' } })
  const reply = await table('/admin/usage?group_by=user,day&limit=1', admin.token)
  t.match(reply.headers, {
    'content-type': 'text/csv; charset=utf-8',
    'content-disposition': 'attachment; filename="usage.csv"'
  })
  const [header, ...rows] = reply.body.trim().split('\r\n')
  t.equal(
    header,
    'day,user_id,username,predictions,completed,stopped,failed,credits_charged,input_tokens,output_tokens,total_tokens,estimated_tokens'
  )
  t.equal(rows.length, 3, 'a table has no pages')
  t.ok(rows.some((row) => row.includes(`"'-anna"`)))
  const own = (await table('/chat/usage', ben.token)).body.trim().split('\r\n')
  t.same(own.slice(1), [
    '"2026-03-10","1","0","0","1","0","0","0","0","0"',
    '"2026-03-11","1","1","0","0","1","0","0","0","0"'
  ])
  t.match(await table('/admin/usage?from=2026-03-12', admin.token), { statusCode: 422 })
})

t.test('the gateway adds up by itself, and reports stay the same', async (t) => {
  const { usage, clock, app } = await open(t)
  const query = '?group_by=day,user,chatflow,key&from=2026-03-01&to=2026-03-31'
  const before = await usage(query)
  clock.advance(DAY)
  const marks = app.store.collection('usage_segments')
  while ((await marks.count({})) < 2) await new Promise(setImmediate)
  while (
    await app.store
      .collection('usage_segments')
      .count({})
      .then((count) => count < 2)
  )
    await new Promise(setImmediate)
  t.same(await usage(query), before)
})
