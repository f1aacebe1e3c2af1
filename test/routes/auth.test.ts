import { createSigner } from 'fast-jwt'
import t from 'tap'
import { sha256Hex } from '../../src/ids.ts'
import { countingBcrypt } from '../auth/parts.ts'
import { ADMIN, buildTestApp, PASSWORD, type TestApp } from '../helper.ts'

const AUTHENTICATE = '/api/v1/chat/authenticate'
const REFRESH = '/api/v1/chat/refresh'
const REVOKE = '/api/v1/chat/revoke'
const ME = '/api/v1/chat/credits'

/** A token as another service with the shared secret makes it. */
function minted({ config }: TestApp, claims: Record<string, unknown>): string {
  const sign = createSigner({ key: config.jwt.secret ?? '', algorithm: 'HS256' })
  return sign({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })
}

/** Status and code of a reply. */
function outcome(reply: { statusCode: number; json(): { code?: string } }) {
  return [reply.statusCode, reply.json().code]
}

t.test('a login by username or e-mail answers both tokens and the user', async (t) => {
  const { request, createUser } = await buildTestApp(t)
  const user = await createUser()
  for (const username of [user.username, user.username.toUpperCase(), ` ${user.email.toUpperCase()}`]) {
    const reply = await request('POST', AUTHENTICATE, { body: { username, password: PASSWORD, extra: 1 } })
    t.equal(reply.statusCode, 200)
    t.strictSame(Object.keys(reply.json()), [
      'access_token',
      'refresh_token',
      'token_type',
      'expires_in',
      'user',
      'message'
    ])
    t.match(reply.json(), { token_type: 'bearer', expires_in: 86_400, message: String })
    const { id, email } = user
    t.strictSame(reply.json().user, { id, username: user.username, email, role: 'user', is_active: true })
  }
  t.equal((await request('POST', '/chat/authenticate', { body: ADMIN })).statusCode, 200, 'unprefixed too')
})

t.test('an unknown user and a wrong password are the same answer after the same work', async (t) => {
  const bcrypt = countingBcrypt()
  const { request, createUser } = await buildTestApp(t, { parts: { bcrypt } })
  const { username } = await createUser()
  const attempt = async (name: string) => {
    const before = bcrypt.comparisons
    const reply = await request('POST', AUTHENTICATE, { body: { username: name, password: 'wrong password' } })
    const { request_id: _, ...problem } = reply.json()
    return {
      status: reply.statusCode,
      challenge: reply.headers['www-authenticate'],
      problem,
      work: bcrypt.comparisons - before
    }
  }
  const wrong = await attempt(username)
  t.match(wrong, { status: 401, challenge: 'Bearer', problem: { code: 'invalid_credentials' }, work: 1 })
  t.strictSame(await attempt('nobody'), wrong)
})

t.test('login and refresh check their bodies', async (t) => {
  const { request } = await buildTestApp(t)
  const bad = [{}, { username: 'a' }, { username: 1, password: 'x' }, { username: '', password: 'x' }, [], null, 'text']
  for (const body of bad)
    t.equal(
      (
        await request('POST', AUTHENTICATE, {
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json' }
        })
      ).statusCode,
      422,
      JSON.stringify(body)
    )
  t.equal((await request('POST', REFRESH, { body: { refresh_token: 5 } })).statusCode, 422)
  t.equal((await request('POST', REFRESH, { body: {} })).statusCode, 422)
  t.equal(
    (await request('POST', AUTHENTICATE, { body: { username: 'x', password: 'y'.repeat(1025) } })).statusCode,
    422
  )
  t.equal(
    (await request('POST', AUTHENTICATE, { body: '<xml/>', headers: { 'content-type': 'text/xml' } })).statusCode,
    415
  )
})

t.test('too many failed logins are 429 with Retry-After, for this name only', async (t) => {
  const { request, createUser } = await buildTestApp(t, { env: { LOGIN_FAILURE_LIMIT: '2' } })
  const { username } = await createUser()
  const attempt = (name: string, password: string) =>
    request('POST', AUTHENTICATE, { body: { username: name, password } })
  for (let n = 0; n < 3; n++) t.equal((await attempt(username, PASSWORD)).statusCode, 200)
  t.strictSame(outcome(await attempt(username, 'wrong password')), [401, 'invalid_credentials'])
  t.strictSame(outcome(await attempt(username, 'wrong password')), [401, 'invalid_credentials'])
  const refused = await attempt(username, PASSWORD)
  t.strictSame(outcome(refused), [429, 'login_rate_limited'])
  t.ok(Number(refused.headers['retry-after']) > 0)
  t.equal((await attempt(ADMIN.username, ADMIN.password)).statusCode, 200)
})

t.test('without a usable bearer the answer is 401 with a challenge', async (t) => {
  const test = await buildTestApp(t)
  const exp = Math.floor(Date.now() / 1000)
  const cases: [string | undefined, string][] = [
    [undefined, 'not_authenticated'],
    ['', 'not_authenticated'],
    ['Basic YTpi', 'not_authenticated'],
    ['Bearer', 'not_authenticated'],
    ['Bearer  ', 'not_authenticated'],
    ['Bearerx.y.z', 'not_authenticated'],
    ['Bearer a.b.c', 'invalid_token'],
    ['Bearer a b', 'invalid_token'],
    [`Bearer ${minted(test, { sub: 'u1', exp: exp - 31 })}`, 'token_expired'],
    [`Bearer ${minted(test, { sub: 'u1', type: 'refresh' })}`, 'invalid_token'],
    [`Bearer ${minted(test, { username: 'no id' })}`, 'invalid_token']
  ]
  for (const [authorization, code] of cases) {
    const reply = await test.request('GET', ME, { headers: authorization === undefined ? {} : { authorization } })
    t.strictSame(outcome(reply), [401, code], String(authorization))
    t.equal(reply.headers['www-authenticate'], 'Bearer')
  }
  const lower = await test.request('GET', ME, { headers: { authorization: `bearer ${test.admin.token}` } })
  t.equal(lower.statusCode, 200, 'the scheme is read without case')
  t.equal((await test.request('GET', `${ME}?token=${test.admin.token}`)).statusCode, 401, 'no tokens in URLs')
})

t.test('a refresh answers new tokens once, and its reuse ends the session', async (t) => {
  const { request, createUser, login } = await buildTestApp(t)
  const user = await createUser()
  const first = await login(user.username, PASSWORD)
  const reply = await request('POST', REFRESH, { body: { refresh_token: first.refresh_token } })
  t.equal(reply.statusCode, 200)
  const second = reply.json()
  t.match(second, {
    token_type: 'bearer',
    expires_in: 86_400,
    user: { id: user.id, username: user.username },
    message: String
  })
  t.not(second.refresh_token, first.refresh_token)
  t.equal((await request('GET', ME, { token: second.access_token })).statusCode, 200)
  const again = await request('POST', REFRESH, { body: { refresh_token: first.refresh_token } })
  t.strictSame(outcome(again), [401, 'invalid_refresh_token'])
  for (const token of [first.access_token, second.access_token])
    t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
  t.equal((await request('GET', ME, { token: user.token })).statusCode, 200, 'another login of the same user goes on')
})

t.test('refreshes that arrive together share one result', async (t) => {
  const { request, login } = await buildTestApp(t)
  const { refresh_token } = await login(ADMIN.username, ADMIN.password)
  const replies = await Promise.all([1, 2, 3].map(() => request('POST', REFRESH, { body: { refresh_token } })))
  t.strictSame(
    replies.map(({ statusCode }) => statusCode),
    [200, 200, 200]
  )
  t.equal(new Set(replies.map((reply) => reply.json().refresh_token)).size, 1)
})

t.test('logout without a body ends the session behind the token', async (t) => {
  const { request, createUser, login } = await buildTestApp(t)
  const user = await createUser()
  for (const sent of [
    {},
    { body: {} },
    { body: '', headers: { 'content-type': 'application/json' } },
    { body: { token_id: null } }
  ]) {
    const pair = await login(user.username, PASSWORD)
    const reply = await request('POST', REVOKE, { token: pair.access_token, ...sent })
    t.equal(reply.statusCode, 200, JSON.stringify(sent))
    t.match(reply.json(), { message: String, revoked_count: 1 })
    t.strictSame(outcome(await request('POST', REVOKE, { token: pair.access_token })), [401, 'token_revoked'])
    t.strictSame(outcome(await request('POST', REFRESH, { body: { refresh_token: pair.refresh_token } })), [
      401,
      'invalid_refresh_token'
    ])
  }
  t.equal((await request('GET', ME, { token: user.token })).statusCode, 200)
})

t.test('logout by refresh token or its SHA-256, of one’s own only', async (t) => {
  const { request, createUser, login } = await buildTestApp(t)
  const { token, username } = await createUser()
  const other = await createUser()
  const one = await login(username, PASSWORD)
  const two = await login(username, PASSWORD)
  const revoke = (by: string, token_id: unknown) => request('POST', REVOKE, { token: by, body: { token_id } })
  t.strictSame(outcome(await revoke(other.token, one.refresh_token)), [404, 'token_not_found'])
  t.strictSame(outcome(await revoke(token, 'nonsense')), [404, 'token_not_found'])
  t.strictSame(outcome(await revoke(token, 7)), [422, 'validation_error'])
  t.match((await revoke(token, one.refresh_token)).json(), { revoked_count: 1 })
  t.match((await revoke(token, sha256Hex(two.refresh_token))).json(), { revoked_count: 1 })
  for (const { access_token } of [one, two])
    t.strictSame(outcome(await request('GET', ME, { token: access_token })), [401, 'token_revoked'])
  t.equal((await request('GET', ME, { token })).statusCode, 200)
})

t.test('all_tokens ends every session of the caller and wins over token_id', async (t) => {
  const { request, createUser, login } = await buildTestApp(t)
  const user = await createUser()
  const other = await createUser()
  const second = await login(user.username, PASSWORD)
  const reply = await request('POST', REVOKE, { token: user.token, body: { all_tokens: true, token_id: 'nonsense' } })
  t.match(reply.json(), { revoked_count: 2 })
  for (const token of [user.token, second.access_token])
    t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
  t.equal((await request('GET', ME, { token: other.token })).statusCode, 200)
  t.equal((await request('GET', ME, { token: (await login(user.username, PASSWORD)).access_token })).statusCode, 200)
})

t.test('a valid token of an unknown user makes the row, without names that are taken', async (t) => {
  const test = await buildTestApp(t)
  const token = minted(test, { sub: 'foreign-1', username: 'Visitor', email: 'V@example.com', role: 'Supervisor' })
  t.match((await test.request('GET', ME, { token })).json(), { user_id: 'foreign-1' })
  const shown = await test.request('GET', '/api/v1/admin/users/foreign-1', { token: test.admin.token })
  t.match(shown.json(), { id: 'foreign-1', username: 'Visitor', email: 'v@example.com', role: 'user', is_active: true })
  const twin = minted(test, { user_id: 'foreign-2', username: 'ADMIN', email: ADMIN.email })
  t.equal((await test.request('GET', ME, { token: twin })).statusCode, 200)
  const row = await test.request('GET', '/api/v1/admin/users/foreign-2', { token: test.admin.token })
  t.match(row.json(), { username: null, email: null })
})

t.test('the role of a token from elsewhere is the token’s, of a local user the row’s', async (t) => {
  const test = await buildTestApp(t)
  const list = (token: string) => test.request('GET', '/api/v1/admin/users', { token })
  t.equal((await list(minted(test, { sub: 'foreign', role: 'ADMIN' }))).statusCode, 200)
  t.strictSame(outcome(await list(minted(test, { sub: 'foreign', role: 'user' }))), [403, 'role_required'])
  const user = await test.createUser()
  t.strictSame(outcome(await list(minted(test, { sub: user.id, role: 'admin' }))), [403, 'role_required'])
  t.strictSame(outcome(await list(user.token)), [403, 'role_required'])
  await test.request('PATCH', `/api/v1/admin/users/${user.id}`, { token: test.admin.token, body: { role: 'admin' } })
  t.equal((await list(user.token)).statusCode, 200, 'a changed role counts at once')
})

t.test('a token without a session is revoked alone, or with all issued before', async (t) => {
  const test = await buildTestApp(t)
  const iat = Math.floor(Date.now() / 1000) - 60
  const [one, two] = [minted(test, { sub: 'foreign', iat, jti: '1' }), minted(test, { sub: 'foreign', iat, jti: '2' })]
  t.match((await test.request('POST', REVOKE, { token: one })).json(), { revoked_count: 1 })
  t.strictSame(outcome(await test.request('GET', ME, { token: one })), [401, 'token_revoked'])
  t.equal((await test.request('GET', ME, { token: two })).statusCode, 200)
  const three = minted(test, { sub: 'foreign', iat, jti: '3' })
  t.match((await test.request('POST', REVOKE, { token: three, body: { all_tokens: true } })).json(), {
    revoked_count: 1
  })
  for (const token of [two, three])
    t.strictSame(outcome(await test.request('GET', ME, { token })), [401, 'token_revoked'])
})

t.test('predictions are limited per user and minute, before their body is looked at', async (t) => {
  const { request, createUser } = await buildTestApp(t, { env: { RATE_LIMIT_PER_MINUTE: '1' } })
  const [one, two] = [await createUser(), await createUser()]
  const predict = (token: string) => request('POST', '/api/v1/chat/predict', { token, body: {} })
  t.equal((await predict(one.token)).statusCode, 422)
  const refused = await predict(one.token)
  t.strictSame(outcome(refused), [429, 'rate_limited'])
  t.ok(Number(refused.headers['retry-after']) > 0)
  t.equal((await predict(two.token)).statusCode, 422, 'others are not concerned')
})
