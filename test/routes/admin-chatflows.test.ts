import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { FAULTS } from '../stand-in/flowise.ts'

const LISTING = /^GET .*\/chatflows(\?|$)/
const { echo } = DEMO_IDS
const total = Object.keys(DEMO_IDS).length

t.test('the catalogue is for administrators only', async (t) => {
  const { request, createUser } = await buildTestApp(t)
  const { token } = await createUser()
  const routes = [
    ['POST', '/admin/chatflows/sync'],
    ['GET', '/admin/chatflows'],
    ['GET', '/admin/chatflows/stats'],
    ['GET', `/admin/chatflows/${echo}`],
    ['PATCH', `/admin/chatflows/${echo}`],
    ['GET', `/admin/chatflows/${echo}/users`],
    ['POST', `/admin/chatflows/${echo}/users`],
    ['POST', `/admin/chatflows/${echo}/users/bulk-add`],
    ['DELETE', `/admin/chatflows/${echo}/users`],
    ['DELETE', `/admin/chatflows/${echo}/users/x`],
    ['GET', '/admin/chatflows/audit-users'],
    ['POST', '/admin/chatflows/cleanup-users'],
    ['POST', '/admin/users/sync-by-email']
  ] as const
  for (const [method, url] of routes) {
    t.match((await request(method, url, { token })).json(), { code: 'role_required' }, `${method} ${url}`)
    t.equal((await request(method, url)).statusCode, 401, `${method} ${url} without a token`)
  }
})

t.test('sync reports, deletes what is missing, and refuses to believe in an empty list', async (t) => {
  const { request, admin, standIn, createUser } = await buildTestApp(t)
  const { token } = admin
  const user = await createUser({ grants: [echo] })
  const sync = (body?: unknown, query = '') => request('POST', `/api/v1/admin/chatflows/sync${query}`, { token, body })
  t.match((await sync()).json(), {
    total_fetched: total,
    created: 0,
    updated: total,
    deleted: 0,
    errors: 0,
    error_details: []
  })

  standIn.next({ body: '[]' }, LISTING)
  t.match((await sync()).json(), { status: 409, code: 'sync_empty' })
  for (const fault of [
    FAULTS.html,
    FAULTS.failure,
    FAULTS.unauthorized,
    FAULTS.refused,
    { body: '{"data":[],"total":3}' }
  ]) {
    standIn.next(fault, LISTING)
    t.match((await sync({ confirm: true })).json(), { status: 502, code: 'upstream_error' })
  }
  t.match((await request('GET', '/admin/chatflows/stats', { token })).json(), {
    total,
    active: total,
    deleted: 0,
    error: 0
  })

  for (const [body, query] of [
    [{ confirm: true }, ''],
    [undefined, '?confirm=true']
  ] as const) {
    standIn.next({ body: '[]' }, LISTING)
    t.match((await sync(body, query)).json(), { total_fetched: 0, deleted: total })
    t.match((await request('GET', `/chatflows/${echo}`, { token: user.token })).json(), { code: 'chatflow_not_found' })
    t.match((await sync()).json(), { created: 0, updated: total, deleted: 0 })
    t.equal((await request('GET', `/chatflows/${echo}`, { token: user.token })).statusCode, 200, 'back with its grant')
  }
})

t.test('deleted chatflows are shown to administrators who ask for them', async (t) => {
  const { request, admin, standIn } = await buildTestApp(t)
  const { token } = admin
  standIn.next({ body: JSON.stringify([{ id: 'new', name: 'New' }, { id: echo }]) }, LISTING)
  await request('POST', '/admin/chatflows/sync', { token })
  t.match((await request('GET', '/admin/chatflows/stats', { token })).json(), {
    total: total + 1,
    active: 1,
    deleted: total - 1,
    error: 1,
    last_sync: /Z$/
  })
  const shown = (await request('GET', '/admin/chatflows', { token })).json()
  t.strictSame(
    shown.map(({ id, sync_status }: Record<string, string>) => [id, sync_status]),
    [
      [echo, 'error'],
      ['new', 'active']
    ]
  )
  t.equal((await request('GET', '/admin/chatflows?include_deleted=true', { token })).json().length, total + 1)
  t.match((await request('GET', `/admin/chatflows/${DEMO_IDS.report}`, { token })).json(), { sync_status: 'deleted' })
  t.match((await request('GET', '/admin/chatflows/nobody', { token })).json(), { code: 'chatflow_not_found' })
  const assigned = request('POST', `/admin/chatflows/${DEMO_IDS.report}/users`, { token, body: { username: 'admin' } })
  t.match((await assigned).json(), { code: 'chatflow_not_found' }, 'nobody is given a deleted one')
})

t.test('settings are changed one by one, shown at once, and recorded', async (t) => {
  const { request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const user = await createUser({ grants: [echo] })
  const url = `/api/v1/admin/chatflows/${echo}`
  const metered = { per_1k_tokens: 0.5, per_1k_output_tokens: 2, floor: 0.1, ceiling: 5 }
  const patched = await request('PATCH', url, {
    token,
    body: { price: 2.5, metered, override_allow: ['vars'], other: 1 }
  })
  t.equal(patched.statusCode, 200)
  t.match(patched.json(), {
    id: echo,
    price: 2.5,
    metered,
    override_allow: ['vars'],
    stream_events: null,
    assigned_users: 1
  })
  t.match((await request('GET', `/chatflows/${echo}`, { token: user.token })).json(), { price: 2.5 })
  const back = await request('PATCH', url, { token, body: { price: null, metered: null, override_allow: null } })
  t.match(back.json(), { price: 1, metered: null, override_allow: null })
  const { entries } = (await request('GET', '/admin/audit?action=chatflow.update', { token })).json()
  t.match(entries, [
    { target: echo, actor_id: admin.id, before: { priceMicro: 2_500_000 }, after: { priceMicro: null } },
    { before: { priceMicro: null }, after: { priceMicro: 2_500_000 } }
  ])
  const refused = [
    { price: -1 },
    { price: '1' },
    { price: 0.0000001 },
    { override_allow: ['sessionId'] },
    { metered: {} },
    []
  ]
  for (const body of refused)
    t.equal((await request('PATCH', url, { token, body })).statusCode, 422, JSON.stringify(body))
  t.match((await request('PATCH', '/admin/chatflows/nobody', { token, body: { price: 1 } })).json(), {
    code: 'chatflow_not_found'
  })
})

t.test('sync-by-email finds the local user', async (t) => {
  const { request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const user = await createUser()
  const find = (email: unknown) => request('POST', '/admin/users/sync-by-email', { token, body: { email } })
  const found = await find(` ${user.email.toUpperCase()} `)
  t.match(found.json(), {
    status: 'success',
    message: String,
    user_details: { id: user.id, email: user.email, is_active: true }
  })
  t.notMatch(found.body, /password/i)
  t.match((await find('nobody@example.com')).json(), { status: 404, code: 'user_not_found' })
  t.match(await find('no address'), { statusCode: 422 })
})
