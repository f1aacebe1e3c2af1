import t from 'tap'
import { createBcryptThread } from '../../src/auth/bcrypt.ts'
import { ADMIN, buildTestApp, PASSWORD } from '../helper.ts'

const USERS = '/api/v1/admin/users'

function outcome(reply: { statusCode: number; json(): { code?: string } }) {
  return [reply.statusCode, reply.json().code]
}

async function setUp(t: Parameters<typeof buildTestApp>[0], env: Record<string, string> = {}) {
  const test = await buildTestApp(t, { env })
  const token = test.admin.token
  return {
    ...test,
    create: (body: unknown) => test.request('POST', USERS, { token, body }),
    get: (id: string) => test.request('GET', `${USERS}/${id}`, { token }),
    list: (query: string) => test.request('GET', `${USERS}?${query}`, { token }),
    patch: (id: string, body: unknown) => test.request('PATCH', `${USERS}/${id}`, { token, body }),
    remove: (id: string) => test.request('DELETE', `${USERS}/${id}`, { token }),
    audit: async (target: string) =>
      (await test.request('GET', `/admin/audit?target=${target}`, { token })).json().entries
  }
}

t.test('every route of users needs the role admin', async (t) => {
  const { request, createUser } = await setUp(t)
  const { token, id } = await createUser({ role: 'premium' })
  for (const [method, url] of [
    ['GET', USERS],
    ['POST', USERS],
    ['GET', `${USERS}/${id}`],
    ['PATCH', `${USERS}/${id}`],
    ['DELETE', `${USERS}/${id}`]
  ] as const) {
    t.strictSame(outcome(await request(method, url, { token, body: {} })), [403, 'role_required'], `${method} ${url}`)
    t.strictSame(outcome(await request(method, url, { body: {} })), [401, 'not_authenticated'], `${method} ${url}`)
  }
})

t.test('a created user can log in and has an opened account', async (t) => {
  const { create, get, request, login, audit } = await setUp(t, { DEFAULT_CREDITS: '2' })
  const reply = await create({
    username: 'Alice',
    email: ' Alice@Example.com',
    password: PASSWORD,
    role: 'Premium',
    credits: 1.5,
    id: 'mine'
  })
  t.equal(reply.statusCode, 201)
  const user = reply.json()
  t.match(user, { username: 'Alice', email: 'alice@example.com', role: 'premium', is_active: true, external_id: null })
  t.strictSame(Object.keys(user), [
    'id',
    'username',
    'email',
    'role',
    'is_active',
    'external_id',
    'created_at',
    'updated_at'
  ])
  t.match(user.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.strictSame((await get(user.id)).json(), user)
  const { access_token } = await login('alice', PASSWORD)
  t.match((await request('GET', '/chat/credits', { token: access_token })).json(), { credits_remaining: 3.5 })
  const [entry] = await audit(user.id)
  t.match(entry, { action: 'user.create', before: null, after: { username: 'Alice', credits: 1.5 } })
  t.notMatch(JSON.stringify(entry), /password/i)
})

t.test('what cannot be a user is refused, and nothing is left behind', async (t) => {
  const { create, list } = await setUp(t)
  const good = { username: 'alice', email: 'alice@example.com', password: PASSWORD }
  const bad = [
    { ...good, username: 'al' },
    { ...good, username: 'a b c' },
    { ...good, email: 'nowhere' },
    { ...good, password: 'short' },
    { ...good, password: 'é'.repeat(37) },
    { ...good, password: 12_345_678 },
    { ...good, credits: -1 },
    { ...good, credits: 0.0000001 },
    { ...good, credits: '5' },
    { ...good, role: 1 },
    { username: 'alice', email: 'alice@example.com' }
  ]
  for (const body of bad) t.strictSame(outcome(await create(body)), [422, 'validation_error'], JSON.stringify(body))
  t.equal((await list('q=alice')).json().count, 0)
  t.equal((await create(good)).statusCode, 201)
  t.strictSame(outcome(await create({ ...good, username: 'ALICE', email: 'b@example.com' })), [409, 'already_exists'])
  t.strictSame(outcome(await create({ ...good, username: 'bob', email: 'ALICE@example.com' })), [409, 'already_exists'])
})

t.test('the list is paged, searched by the start of both names, and without the deleted', async (t) => {
  const { createUser, list, remove } = await setUp(t)
  const made = []
  for (const username of ['ann', 'Anton', 'bert']) made.push(await createUser({ username }))
  const first = (await list('limit=2')).json()
  t.match(first, { count: 2, next_cursor: String })
  const second = (await list(`limit=2&cursor=${first.next_cursor}`)).json()
  t.match(second, { count: 2, next_cursor: null })
  const names = [...first.users, ...second.users].map(({ username }: { username: string }) => username)
  t.strictSame(names, ['admin', 'ann', 'Anton', 'bert'])
  t.equal((await list('q=AN')).json().count, 2)
  t.equal((await list('q=an&limit=1')).json().count, 1)
  t.equal((await list('q=bert@example')).json().count, 1)
  await remove(made[0]?.id ?? '')
  t.equal((await list('q=an')).json().count, 1)
  for (const query of ['limit=0', 'limit=101', 'limit=x', 'cursor=nonsense', 'cursor=WzEsMl0'])
    t.strictSame(outcome(await list(query)), [422, 'validation_error'], query)
})

t.test('unknown ids are 404, whatever they look like', async (t) => {
  const { get, patch, remove } = await setUp(t)
  for (const id of ['nobody', '%00', 'x'.repeat(128), '..%2f..'])
    for (const reply of [await get(id), await patch(id, { is_active: true }), await remove(id)])
      t.strictSame(outcome(reply), [404, 'user_not_found'], id)
  t.equal((await get('x'.repeat(129))).statusCode, 404)
})

t.test('a patch changes what it names, and the audit says what', async (t) => {
  const { createUser, patch, get, audit } = await setUp(t)
  const { id, username, email } = await createUser()
  await createUser({ username: 'taken' })
  const reply = await patch(id, { role: 'premium', email: ' New@Example.com', username: 'ignored' })
  t.match(reply.json(), { username, role: 'premium', email: 'new@example.com' })
  t.match((await audit(id))[0], {
    action: 'user.update',
    before: { role: 'user', email },
    after: { role: 'premium', email: 'new@example.com' }
  })
  const before = (await audit(id)).length
  t.equal((await patch(id, {})).statusCode, 200)
  t.equal((await patch(id, { role: 'premium' })).statusCode, 200)
  t.equal((await audit(id)).length, before, 'no change, no entry')
  t.strictSame(outcome(await patch(id, { email: 'taken@example.com' })), [409, 'already_exists'])
  t.strictSame(outcome(await patch(id, { email: 'nowhere' })), [422, 'validation_error'])
  t.strictSame(outcome(await patch(id, { is_active: 'yes' })), [422, 'validation_error'])
  t.strictSame(outcome(await patch(id, { password: 'short' })), [422, 'validation_error'])
  t.match((await get(id)).json(), { email: 'new@example.com', is_active: true })
})

t.test('a disabled user is shut out at once and may come back', async (t) => {
  const { createUser, patch, request } = await setUp(t)
  const { id, token, username } = await createUser()
  await patch(id, { is_active: false })
  t.strictSame(outcome(await request('GET', '/chat/credits', { token })), [401, 'user_disabled'])
  const login = (password: string) => request('POST', '/chat/authenticate', { body: { username, password } })
  t.strictSame(outcome(await login(PASSWORD)), [401, 'user_disabled'])
  t.strictSame(outcome(await login('wrong password')), [401, 'invalid_credentials'])
  await patch(id, { is_active: true })
  t.equal((await request('GET', '/chat/credits', { token })).statusCode, 200)
})

t.test('a new password ends every session and is the only one that works', async (t) => {
  const { createUser, patch, request, login, audit } = await setUp(t)
  const { id, token, username } = await createUser()
  const { refresh_token } = await login(username, PASSWORD)
  t.equal((await patch(id, { password: 'a new password' })).statusCode, 200)
  t.strictSame(outcome(await request('GET', '/chat/credits', { token })), [401, 'token_revoked'])
  t.strictSame(outcome(await request('POST', '/chat/refresh', { body: { refresh_token } })), [
    401,
    'invalid_refresh_token'
  ])
  t.strictSame(outcome(await request('POST', '/chat/authenticate', { body: { username, password: PASSWORD } })), [
    401,
    'invalid_credentials'
  ])
  const fresh = await login(username, 'a new password')
  t.equal((await request('GET', '/chat/credits', { token: fresh.access_token })).statusCode, 200)
  t.strictSame((await audit(id))[0].after, { credentials: 'changed' })
})

t.test('a deleted user is gone with all tokens; ledger and names behave as promised', async (t) => {
  const { app, createUser, remove, get, request, create, audit, login } = await setUp(t)
  const { id, token, username, email } = await createUser({ credits: 5 })
  const { refresh_token } = await login(username, PASSWORD)
  const reply = await remove(id)
  t.strictSame(reply.json(), { message: 'User deleted.', user_id: id })
  t.strictSame(outcome(await request('GET', '/chat/credits', { token })), [401, 'user_disabled'])
  t.strictSame(outcome(await request('POST', '/chat/refresh', { body: { refresh_token } })), [
    401,
    'invalid_refresh_token'
  ])
  t.strictSame(outcome(await get(id)), [404, 'user_not_found'])
  t.strictSame(outcome(await remove(id)), [404, 'user_not_found'])
  t.equal(await app.store.collection('token_families').count({ equal: { userId: id } }), 0)
  t.equal((await app.ledger.account(id))?.available, 5_000_000, 'the ledger stays')
  t.match((await audit(id))[0], { action: 'user.delete', before: { username }, after: null })
  t.equal((await create({ username, email, password: PASSWORD })).statusCode, 201, 'the names are free')
})

t.test('the last active administrator stays, also when two are demoted at once', async (t) => {
  const { admin, patch, remove, createUser, request } = await setUp(t)
  t.strictSame(outcome(await patch(admin.id, { role: 'user' })), [409, 'last_admin'])
  t.strictSame(outcome(await patch(admin.id, { is_active: false })), [409, 'last_admin'])
  t.strictSame(outcome(await remove(admin.id)), [409, 'last_admin'])
  const deputy = await createUser({ role: 'admin' })
  const replies = await Promise.all([
    request('PATCH', `${USERS}/${admin.id}`, { token: deputy.token, body: { role: 'user' } }),
    request('PATCH', `${USERS}/${deputy.id}`, { token: admin.token, body: { is_active: false } })
  ])
  t.strictSame(
    replies.map(({ statusCode }) => statusCode).sort((a, b) => a - b),
    [200, 409]
  )
})

t.test('the role of a user of another service is not ours to change', async (t) => {
  const { app, patch } = await setUp(t)
  await app.users.seen({ userId: 'foreign', username: 'visitor', email: null, role: 'user' })
  t.strictSame(outcome(await patch('foreign', { role: 'admin' })), [409, 'managed_externally'])
  t.match((await patch('foreign', { is_active: false })).json(), { is_active: false })
})

t.test('a login works with the password thread of production', async (t) => {
  const { request } = await buildTestApp(t, { parts: { bcrypt: createBcryptThread() } })
  t.equal((await request('POST', '/chat/authenticate', { body: ADMIN })).statusCode, 200)
})
