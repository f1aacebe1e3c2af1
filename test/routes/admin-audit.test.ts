import t from 'tap'
import { AppError } from '../../src/errors.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp, PASSWORD, type Send, type TestApp, type TestUser } from '../helper.ts'
import { operationsOf } from '../gates/operations.ts'
import { openTamperedStore } from '../prediction/tampered-store.ts'

const { echo } = DEMO_IDS
const one = `/api/v1/admin/chatflows/${echo}`

interface Change {
  /** As the document has it. */
  route: string
  /** `made` is what `before` answered. */
  url: (user: TestUser, made: unknown) => string
  body?: (user: TestUser) => unknown
  /** What the entry says. */
  action: string
  /** What must have been done before. */
  before?: (
    send: (method: 'POST' | 'PATCH', url: string, body?: unknown) => ReturnType<Send>,
    user: TestUser
  ) => unknown
  headers?: Record<string, string>
}

const credits = ({ id }: TestUser) => `/api/v1/admin/users/${id}/credits`
const grant = { user_id: '' }
const assign: Change['before'] = (send, { id }) => send('POST', `${one}/users`, { user_id: id })
const disable: Change['before'] = async (send, user) => {
  await assign?.(send, user)
  await send('PATCH', `/api/v1/admin/users/${user.id}`, { is_active: false })
}

/** Every change that can be made through /admin, once. */
const changes: Change[] = [
  {
    route: 'POST /api/v1/admin/users',
    url: () => '/admin/users',
    body: ({ username }) => ({ username: `${username}-2`, email: `${username}-2@example.com`, password: PASSWORD }),
    action: 'user.create'
  },
  {
    route: 'PATCH /api/v1/admin/users/{id}',
    url: ({ id }) => `/admin/users/${id}`,
    body: () => ({ role: 'premium', password: 'another password' }),
    action: 'user.update'
  },
  { route: 'DELETE /api/v1/admin/users/{id}', url: ({ id }) => `/admin/users/${id}`, action: 'user.delete' },
  ...(['allocate', 'adjust', 'set'] as const).map((action) => ({
    route: `POST /api/v1/admin/users/{id}/credits/${action}`,
    url: (user: TestUser) => `${credits(user)}/${action}`,
    body: ({ username }: TestUser) => ({ amount: 7, note: 'n', idempotency_key: `${username}-${action}` }),
    action: `credits.${action}`
  })),
  {
    route: 'PUT /api/v1/admin/users/{id}/credits/frozen',
    url: (user) => `${credits(user)}/frozen`,
    body: () => ({ frozen: true }),
    action: 'credits.freeze'
  },
  {
    route: 'PATCH /api/v1/admin/chatflows/{chatflow_id}',
    url: () => one,
    body: () => ({ price: 3 }),
    action: 'chatflow.update'
  },
  {
    route: 'DELETE /api/v1/admin/api-keys/{key_id}',
    before: async (send) => (await send('POST', '/api/v1/auth/api-keys', { name: 'n' })).json().id,
    url: (_user, made) => `/admin/api-keys/${String(made)}`,
    action: 'api_key.revoke'
  },
  { route: 'POST /api/v1/admin/chatflows/sync', url: () => '/admin/chatflows/sync', action: 'chatflow.sync' },
  {
    route: 'POST /api/v1/admin/chatflows/{chatflow_id}/users',
    url: () => `${one}/users`,
    body: ({ id }) => ({ ...grant, user_id: id }),
    action: 'grant.assign'
  },
  {
    route: 'POST /api/v1/admin/chatflows/{chatflow_id}/users/bulk-add',
    url: () => `${one}/users/bulk-add`,
    body: ({ username }) => ({ usernames: [username, 'nobody'] }),
    action: 'grant.assign'
  },
  {
    route: 'DELETE /api/v1/admin/chatflows/{chatflow_id}/users',
    url: ({ id }) => `${one}/users?user_id=${id}`,
    before: assign,
    action: 'grant.remove'
  },
  {
    route: 'DELETE /api/v1/admin/chatflows/{chatflow_id}/users/{user}',
    url: ({ email }) => `${one}/users/${email}`,
    before: assign,
    action: 'grant.remove'
  },
  ...(['deactivate_invalid', 'delete_invalid'] as const).map((action) => ({
    route: 'POST /api/v1/admin/chatflows/cleanup-users',
    url: () => '/admin/chatflows/cleanup-users',
    before: disable,
    body: () => ({ action, dry_run: false, force: true }),
    action: 'grant.cleanup'
  }))
]

/** Finds a user, and changes nothing where users are kept here. */
const CHANGES_NOTHING = ['POST /api/v1/admin/users/sync-by-email']

const methodOf = (route: string) => route.split(' ')[0] as 'POST' | 'PATCH' | 'PUT' | 'DELETE'

async function entriesOf({ request, admin }: TestApp): Promise<Record<string, unknown>[]> {
  return (await request('GET', '/admin/audit?limit=100', { token: admin.token })).json().entries
}

t.test('every change made through /admin has one entry: who, what, before, after, and no secret', async (t) => {
  const gateway = await buildTestApp(t)
  const { request, admin } = gateway
  const send = (method: 'POST' | 'PATCH', url: string, body?: unknown) =>
    request(method, url, { token: admin.token, body })
  const document = (await request('GET', '/openapi.json')).json()
  const routes = operationsOf(document)
    .filter(({ method, path }) => path.startsWith('/api/v1/admin/') && method !== 'GET')
    .map(({ method, path }) => `${method} ${path}`)
  t.strictSame(
    new Set([...changes.map(({ route }) => route), ...CHANGES_NOTHING]),
    new Set(routes),
    'the table is whole'
  )
  for (const { route, url, body, action, before } of changes) {
    const user = await gateway.createUser()
    const prepared = await before?.(send, user)
    const known = await entriesOf(gateway)
    const options = { token: admin.token, ...(body ? { body: body(user) } : {}) }
    const reply = await request(methodOf(route), url(user, prepared), options)
    t.ok(reply.statusCode < 300, `${route}: ${reply.statusCode} ${reply.body}`)
    const made = (await entriesOf(gateway)).slice(0, -known.length)
    t.match(made, [{ action, actor_id: admin.id, target: String, request_id: reply.headers['x-request-id'] }], route)
    t.equal(made.length, 1, `${route} has one entry`)
    t.notMatch(JSON.stringify(made), /passw|\$2[aby]\$|hash/i, `${route} tells no secret`)
    const again = await request(methodOf(route), url(user, prepared), options)
    const isRepeatable = action === 'chatflow.sync' || action === 'user.update' || action === 'chatflow.update'
    if (!isRepeatable)
      t.equal((await entriesOf(gateway)).length, known.length + 1, `${again.statusCode}: no change, no entry`)
  }
})

t.test('what is refused leaves no entry', async (t) => {
  const gateway = await buildTestApp(t)
  const { request, admin, createUser } = gateway
  const user = await createUser()
  const known = (await entriesOf(gateway)).length
  for (const { route, url } of changes) {
    const method = methodOf(route)
    if (method === 'DELETE' || route.endsWith('/sync')) continue
    const reply = await request(method, url(user, undefined), {
      token: admin.token,
      body: { amount: 'x', price: 'x', frozen: 1, role: 1 }
    })
    t.equal(reply.statusCode, 422, route)
  }
  t.equal((await entriesOf(gateway)).length, known)
})

t.test('a change and its entry are one write: neither is there without the other', async (t) => {
  let isBroken = false
  const store = await openTamperedStore(t, async (collection, kind) => {
    if (isBroken && collection === 'audit_entries' && kind === 'write') throw new AppError('store_unavailable')
  })
  const gateway = await buildTestApp(t, { parts: { store } })
  const { request, admin } = gateway
  const send = (method: 'POST' | 'PATCH', url: string, body?: unknown) =>
    request(method, url, { token: admin.token, body })
  // A sync is many writes, and a credit change is found by its key: these two write their entry afterwards.
  const single = changes.filter(({ action }) => !/^(chatflow\.sync|credits\.(allocate|adjust|set))$/.test(action))
  t.ok(single.length >= 10)
  for (const { route, url, body, action, before } of single) {
    const user = await gateway.createUser()
    const prepared = await before?.(send, user)
    isBroken = true
    const options = { token: admin.token, ...(body ? { body: body(user) } : {}) }
    const reply = await request(methodOf(route), url(user, prepared), options)
    isBroken = false
    t.ok(reply.statusCode < 300, `${route}: ${reply.statusCode}`)
    t.match((await entriesOf(gateway))[0], { action, request_id: reply.headers['x-request-id'] }, route)
  }
})
