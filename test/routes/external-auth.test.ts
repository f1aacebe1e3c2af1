import t from 'tap'
import { sha256Hex } from '../../src/ids.ts'
import { AUTHENTICATE, buildExternalApp, ME, nextSecond, outcome, REVOKE } from '../auth/external-app.ts'

t.test('a login hands out the tokens of the service unchanged, with what its profile says', async (t) => {
  const { service, request } = await buildExternalApp(t)
  const user = service.add({ role: 'Supervisor' })
  const { username, email, password } = user
  const reply = await request('POST', AUTHENTICATE, { body: { username: email, password, extra: 1 } })
  t.equal(reply.statusCode, 200)
  const body = reply.json()
  t.ok(service.hasRefreshToken(body.refresh_token))
  t.strictSame(Object.keys(body), ['access_token', 'refresh_token', 'token_type', 'expires_in', 'user', 'message'])
  t.ok(body.expires_in > 890 && body.expires_in <= 900, 'the life that the service gave it')
  const shown = { id: user.id, username, email, role: 'user', is_active: true, is_verified: true }
  t.strictSame(body.user, shown)
  const call = service.callsTo('/api/auth/login').at(-1)
  t.strictSame(call?.body, { username: email, password }, 'only these two')
  t.equal(call?.headers['content-type'], 'application/json')
  t.equal(service.callsTo('/api/profile').at(-1)?.headers.authorization, `Bearer ${body.access_token}`)
  t.match((await request('GET', ME, { token: body.access_token })).json(), { user_id: user.id })
})

t.test('what the service refuses is told as what it is', async (t) => {
  const { service, enter } = await buildExternalApp(t)
  const user = service.add()
  t.strictSame(outcome(await enter({ ...user, password: 'wrong' })), [401, 'invalid_credentials'])
  t.strictSame(outcome(await enter(service.add({ isVerified: false }))), [401, 'email_not_verified'])
  service.next('/login', { status: 400 })
  t.strictSame(outcome(await enter(user)), [422, 'validation_error'])
})

t.test('the password of an account of the gateway opens nothing when the service refuses', async (t) => {
  const { service, app, request } = await buildExternalApp(t)
  const passwordHash = await app.passwords.hash('a local password')
  await app.users.create({ username: 'local-one', email: 'local@example.com', role: 'admin', passwordHash })
  const body = { username: 'local-one', password: 'a local password' }
  t.strictSame(outcome(await request('POST', AUTHENTICATE, { body })), [401, 'invalid_credentials'])
  service.next('/login', { status: 500 })
  t.strictSame(outcome(await request('POST', AUTHENTICATE, { body })), [503, 'auth_unavailable'])
})

t.test('tokens are verified here: no call for a request', async (t) => {
  const { service, request, tokensOf } = await buildExternalApp(t)
  const user = service.add()
  const { access_token: token } = await tokensOf(user)
  const before = service.calls.length
  for (let n = 0; n < 20; n++) t.equal((await request('GET', ME, { token })).statusCode, 200)
  t.equal(service.calls.length, before)
  const elsewhere = service.pair(service.add({ role: 'ADMIN' })).accessToken
  t.equal((await request('GET', '/api/v1/admin/users', { token: elsewhere })).statusCode, 200, 'logged in elsewhere')
  t.equal(service.calls.length, before)
  t.strictSame(outcome(await request('GET', ME, { token: service.pair(user).refreshToken })), [401, 'invalid_token'])
})

t.test('a refresh answers new tokens and the user as they are now; its second use ends the session', async (t) => {
  const { service, request, tokensOf, refresh } = await buildExternalApp(t)
  const user = service.add({ role: 'admin' })
  const first = await tokensOf(user)
  service.add({ ...user, role: 'user', username: 'renamed' })
  const reply = await refresh(first.refresh_token)
  const second = reply.json()
  t.equal(reply.statusCode, 200)
  t.match(second.user, { id: user.id, username: 'renamed', role: 'user', is_verified: true })
  t.not(second.refresh_token, first.refresh_token)
  const admin = await request('GET', '/api/v1/admin/users', { token: second.access_token })
  t.strictSame(outcome(admin), [403, 'role_required'], 'although its token still says admin')
  t.strictSame(outcome(await request('GET', '/api/v1/admin/users', { token: first.access_token })), [
    403,
    'role_required'
  ])
  const before = service.callsTo('/refresh').length
  t.strictSame(outcome(await refresh(first.refresh_token)), [401, 'invalid_refresh_token'])
  t.equal(service.callsTo('/refresh').length, before, 'known to be spent: nobody is asked')
  for (const token of [first.access_token, second.access_token])
    t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
  await service.waitFor('/logout', 1)
  t.equal(service.callsTo('/logout')[0]?.body.refreshToken, second.refresh_token, 'and the service hears of it')
})

t.test('identical refreshes and identical logins at the same time are one call', async (t) => {
  const { service, tokensOf, refresh, enter } = await buildExternalApp(t)
  const user = service.add()
  const { refresh_token } = await tokensOf(user)
  const before = service.callsTo('/refresh').length
  const replies = await Promise.all([1, 2, 3, 4].map(() => refresh(refresh_token)))
  t.strictSame(new Set(replies.map(({ statusCode }) => statusCode)), new Set([200]))
  t.equal(new Set(replies.map((reply) => reply.json().refresh_token)).size, 1)
  t.ok(service.callsTo('/refresh').length - before <= 2, 'one, or two when the first was of the second of the login')
  const opened = Promise.withResolvers<void>()
  const other = service.add()
  const logins = service.callsTo('/login').length
  service.next('/login', { until: opened.promise })
  const entering = [1, 2, 3].map(() => enter(other))
  await service.waitFor('/login', logins + 1)
  opened.resolve()
  t.strictSame(new Set((await Promise.all(entering)).map(({ statusCode }) => statusCode)), new Set([200]))
  t.equal(service.callsTo('/login').length, logins + 1)
})

t.test('logout without a body, by token, by its SHA-256; the service hears of each', async (t) => {
  const { service, request, tokensOf, refresh } = await buildExternalApp(t)
  const [user, other] = [service.add(), service.add()]
  const stranger = await tokensOf(other)
  const forms = [
    () => undefined,
    (token: string) => ({ token_id: token }),
    (token: string) => ({ token_id: sha256Hex(token) })
  ]
  for (const [n, form] of forms.entries()) {
    const pair = await tokensOf(user)
    const body = form(pair.refresh_token)
    if (body)
      t.strictSame(outcome(await request('POST', REVOKE, { token: stranger.access_token, body })), [
        404,
        'token_not_found'
      ])
    t.match((await request('POST', REVOKE, { token: pair.access_token, body })).json(), { revoked_count: 1 })
    t.strictSame(outcome(await request('GET', ME, { token: pair.access_token })), [401, 'token_revoked'])
    t.strictSame(outcome(await refresh(pair.refresh_token)), [401, 'invalid_refresh_token'])
    await service.waitFor('/logout', n + 1)
    t.equal(service.callsTo('/logout')[n]?.body.refreshToken, pair.refresh_token)
  }
  t.equal((await request('GET', ME, { token: stranger.access_token })).statusCode, 200)
})

t.test('all_tokens ends every session in one call to the service', async (t) => {
  const { service, request, tokensOf } = await buildExternalApp(t)
  const user = service.add()
  const first = await tokensOf(user)
  await nextSecond()
  const second = await tokensOf(user)
  const reply = await request('POST', REVOKE, { token: second.access_token, body: { all_tokens: true } })
  t.match(reply.json(), { revoked_count: 2 })
  for (const token of [first.access_token, second.access_token])
    t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
  await service.waitFor('/logout-all', 1)
  t.equal(service.callsTo('/logout-all')[0]?.headers.authorization, `Bearer ${second.access_token}`)
  t.equal(service.callsTo('/logout').length, 0)
  const again = await tokensOf(user)
  t.equal((await request('GET', ME, { token: again.access_token })).statusCode, 200, 'a login right after it works')
})

t.test(
  'a login in the second of a logout waits for the next, because its tokens would be the revoked ones',
  async (t) => {
    const { service, request, tokensOf } = await buildExternalApp(t)
    const user = service.add()
    for (let n = 0; n < 3; n++) {
      const { access_token: token } = await tokensOf(user)
      t.equal((await request('GET', ME, { token })).statusCode, 200)
      t.match((await request('POST', REVOKE, { token })).json(), { revoked_count: 1 })
    }
  }
)

t.test('a token of no known session is revoked by itself', async (t) => {
  const { service, request } = await buildExternalApp(t)
  const { accessToken: token } = service.pair(service.add())
  t.match((await request('POST', REVOKE, { token })).json(), { revoked_count: 1 })
  t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
})

t.test('a refresh token from elsewhere is exchanged, and has a session from then on', async (t) => {
  const { service, request, refresh } = await buildExternalApp(t)
  const { refreshToken } = service.pair(service.add())
  const reply = await refresh(refreshToken)
  t.equal(reply.statusCode, 200)
  t.strictSame(outcome(await refresh(refreshToken)), [401, 'invalid_refresh_token'])
  t.strictSame(outcome(await request('GET', ME, { token: reply.json().access_token })), [401, 'token_revoked'])
})
