import t from 'tap'
import { type Clock, createSystemClock } from '../../src/clock.ts'
import { buildExternalApp, ME, outcome, REVOKE } from '../auth/external-app.ts'

t.test('a 429 is passed on with its wait, and until then nobody is asked', async (t) => {
  const { service, enter, refresh, tokensOf, request } = await buildExternalApp(t)
  const user = service.add()
  const { refresh_token, access_token: token } = await tokensOf(user)
  service.next('/login', { status: 429, headers: { 'retry-after': '7' }, body: '<html>slow down</html>' })
  const reply = await enter(user)
  t.strictSame(outcome(reply), [429, 'login_rate_limited'])
  t.equal(reply.headers['retry-after'], '7')
  t.notMatch(reply.body, /slow down/)
  const before = service.calls.length
  for (const again of [await enter(user), await refresh(refresh_token)]) {
    t.strictSame(outcome(again), [429, 'login_rate_limited'])
    t.ok(Number(again.headers['retry-after']) <= 7)
  }
  t.equal((await request('GET', ME, { token })).statusCode, 200, 'who is logged in does not notice')
  t.equal(service.calls.length, before)
})

t.test('a 429 at refresh leaves the refresh token as it was', async (t) => {
  const { service, refresh, tokensOf } = await buildExternalApp(t)
  const { refresh_token } = await tokensOf(service.add())
  service.next('/refresh', { status: 429, headers: { 'retry-after': '1' } })
  const reply = await refresh(refresh_token)
  t.strictSame(outcome(reply), [429, 'login_rate_limited'])
  await new Promise((resolve) => void setTimeout(resolve, 1000 * Number(reply.headers['retry-after']) + 20))
  t.equal((await refresh(refresh_token)).statusCode, 200)
})

t.test('the limit of the real service holds logins up, and they go on after it', async (t) => {
  const { service, enter, tokensOf } = await buildExternalApp(t, { limit: 5 })
  const users = Array.from({ length: 4 }, () => service.add())
  for (const user of users) await tokensOf(user)
  const refused = await enter(service.add())
  t.strictSame(outcome(refused), [429, 'login_rate_limited'])
  t.equal(refused.headers['retry-after'], '840')
})

t.test('one address cannot use up the limit that all share', async (t) => {
  const { service, request, refresh } = await buildExternalApp(t)
  const before = service.callsTo('/login').length
  const guess = (n: number) =>
    request('POST', '/api/v1/chat/authenticate', { body: { username: `user-${n}`, password: 'a guess' } })
  for (let n = 0; n < 60; n++) await guess(n)
  t.equal(service.callsTo('/login').length - before, 50)
  t.strictSame(outcome(await guess(61)), [429, 'login_rate_limited'])
  const strays = service.callsTo('/refresh').length
  for (let n = 0; n < 30; n++) await refresh(`made-up-${n}`)
  t.equal(service.callsTo('/refresh').length - strays, 20, 'nor with tokens that nobody handed out')
})

t.test('an expired refresh token is no reason for a call', async (t) => {
  const { service, refresh } = await buildExternalApp(t)
  const payload = Buffer.from(JSON.stringify({ exp: Math.floor(Date.now() / 1000) - 60 })).toString('base64url')
  t.strictSame(outcome(await refresh(`e30.${payload}.x`)), [401, 'invalid_refresh_token'])
  t.equal(service.callsTo('/refresh').length, 0)
})

t.test('failed logins count by name and address, successful ones do not', async (t) => {
  const { service, enter } = await buildExternalApp(t, { env: { LOGIN_FAILURE_LIMIT: '2' } })
  const user = service.add()
  for (let n = 0; n < 3; n++) t.equal((await enter(user)).statusCode, 200)
  for (let n = 0; n < 2; n++)
    t.strictSame(outcome(await enter({ ...user, password: 'x' })), [401, 'invalid_credentials'])
  const before = service.callsTo('/login').length
  t.strictSame(outcome(await enter(user)), [429, 'login_rate_limited'])
  t.equal(service.callsTo('/login').length, before)
})

t.test('a logout that the service did not hear is repeated; here it counts at once', async (t) => {
  const { service, request, tokensOf } = await buildExternalApp(t)
  for (const [n, fault] of [{ status: 500 }, { reset: true }, { lose: true }].entries()) {
    const { access_token: token, refresh_token } = await tokensOf(service.add())
    service.next('/logout', fault)
    const known = service.callsTo('/logout').length
    t.match((await request('POST', REVOKE, { token })).json(), { revoked_count: 1 })
    t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
    await service.waitFor('/logout', known + 2)
    t.equal(service.callsTo('/logout').at(-1)?.body.refreshToken, refresh_token, `fault ${n}`)
  }
})

t.test('a logout is repeated also where timers ring a moment early', async (t) => {
  const system = createSystemClock()
  const clock: Clock = { now: system.now, after: (delayMs, run) => system.after(delayMs - 3, run) }
  const { service, request, tokensOf } = await buildExternalApp(t, { clock })
  const { access_token: token } = await tokensOf(service.add())
  service.next('/logout', { lose: true })
  t.match((await request('POST', REVOKE, { token })).json(), { revoked_count: 1 })
  await service.waitFor('/logout', 2)
  t.equal(service.callsTo('/logout').length, 2)
})
