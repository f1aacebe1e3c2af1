import { createHmac } from 'node:crypto'
import { Writable } from 'node:stream'
import t from 'tap'
import { loggerOptions } from '../../src/logger.ts'
import { buildExternalApp, ME, nextSecond, outcome } from '../auth/external-app.ts'
import type { ServiceFault } from '../stand-in/auth-service.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const SECRET_TEXT = 'secret-text-of-the-service'
const HOUR_S = 3600

function json(value: unknown): ServiceFault {
  return { body: JSON.stringify(value), headers: JSON_TYPE }
}

/** A token with another secret than the service's. */
function forged(): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { sub: 'a'.repeat(24), type: 'access', exp: Math.floor(Date.now() / 1000) + HOUR_S }
  const input = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${input}.${createHmac('sha256', 'another secret').update(input).digest('base64url')}`
}

/** What makes a call useless whatever it was for. */
const OUTAGES: Record<string, ServiceFault> = {
  500: { status: 500, body: JSON.stringify({ error: SECRET_TEXT }) },
  502: { status: 502, headers: { 'content-type': 'text/html' }, body: `<html>${SECRET_TEXT}</html>` },
  503: { status: 503, headers: { 'retry-after': '99' } },
  reset: { reset: true },
  'a lost answer': { lose: true },
  silence: { hang: true },
  redirect: { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
  forbidden: { status: 403 },
  'not found': { status: 404 },
  HTML: { headers: { 'content-type': 'text/html' }, body: `<html>${SECRET_TEXT}</html>` },
  'broken JSON': { body: '{"accessToken":' },
  'nothing at all': { status: 200, body: '' },
  'a list': json([1]),
  null: json(null),
  'no tokens': json({ message: 'ok' }),
  'tokens of another type': json({ accessToken: 7, refreshToken: {} }),
  'a token that is no token': json({ accessToken: 'x.y.z', refreshToken: 'x' }),
  'a token of somebody else': json({ accessToken: forged(), refreshToken: 'x' }),
  'a line break in a token': json({ accessToken: 'a\r\nb', refreshToken: 'x' }),
  'a huge body': json({ accessToken: 'x'.repeat(200_000), refreshToken: 'x' })
}

t.test('an outage at login or refresh is 503 auth_unavailable, and has no effect', async (t) => {
  const lines: string[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    }
  })
  const logger = { ...loggerOptions('debug'), stream }
  const test = await buildExternalApp(t, { env: { AUTH_TIMEOUT_MS: '150' }, parts: { logger } })
  const { service, enter, refresh, request, tokensOf } = test
  const user = service.add({ password: 'a very secret password' })
  for (const [name, fault] of Object.entries(OUTAGES)) {
    service.next('/login', fault)
    const reply = await enter(user)
    t.strictSame(outcome(reply), [503, 'auth_unavailable'], `login: ${name}`)
    t.ok(Number(reply.headers['retry-after']) >= 1)
    t.notMatch(reply.body, /secret-text|127\.0\.0\.1/)
  }
  const { access_token: token, refresh_token } = await tokensOf(user)
  for (const [name, fault] of Object.entries(OUTAGES)) {
    if (fault.lose) continue
    service.next('/refresh', fault)
    t.strictSame(outcome(await refresh(refresh_token)), [503, 'auth_unavailable'], `refresh: ${name}`)
  }
  t.equal((await request('GET', ME, { token })).statusCode, 200, 'who is logged in goes on meanwhile')
  t.equal((await refresh(refresh_token)).statusCode, 200, 'and the refresh token still works afterwards')
  const log = lines.join('')
  t.ok(lines.length > 40)
  t.match(log, /auth_unavailable/)
  for (const secret of [SECRET_TEXT, 'a very secret password', refresh_token, token, 'eyJ'])
    t.notOk(log.includes(secret), 'nothing secret is in the log')
})

t.test('after a lost answer the old refresh token is what the service says it is', async (t) => {
  const { service, refresh, tokensOf } = await buildExternalApp(t)
  const { refresh_token } = await tokensOf(service.add())
  service.next('/refresh', { lose: true })
  t.strictSame(outcome(await refresh(refresh_token)), [503, 'auth_unavailable'])
  const again = await refresh(refresh_token)
  t.ok([200, 401].includes(again.statusCode), 'a second call, not a reuse')
  t.ok(service.callsTo('/refresh').length >= 2)
})

t.test('without a service nobody gets in, and who is in stays in', async (t) => {
  const { service, enter, refresh, request, tokensOf } = await buildExternalApp(t)
  const user = service.add()
  const { access_token: token, refresh_token } = await tokensOf(user)
  t.match((await request('GET', '/ready')).json(), { status: 'ready', checks: { auth: 'ok' } })
  await service.close()
  t.strictSame(outcome(await enter(user)), [503, 'auth_unavailable'])
  t.strictSame(outcome(await refresh(refresh_token)), [503, 'auth_unavailable'])
  t.equal((await request('GET', ME, { token })).statusCode, 200)
  t.match((await request('GET', '/info')).json(), { auth_mode: 'external' })
})

t.test('the profile is best effort: its failure costs nothing but news', async (t) => {
  const { service, enter } = await buildExternalApp(t, { env: { AUTH_TIMEOUT_MS: '150' } })
  const user = service.add()
  const faults = [OUTAGES[500], OUTAGES.reset, OUTAGES.silence, OUTAGES.HTML, { status: 401 }, { status: 429 }]
  for (const fault of [...faults, json({ user: { id: 'somebody else', role: 'admin' } }), json({ user: {} })]) {
    service.next('/profile', fault ?? {})
    const reply = await enter(user)
    t.match(reply.json().user, { id: user.id, username: user.username, role: 'user', is_verified: true })
  }
})

t.test('a user whom the service does not know any more loses everything at once', async (t) => {
  const { service, refresh, request, tokensOf, enter } = await buildExternalApp(t)
  const user = service.add()
  const { access_token: token, refresh_token } = await tokensOf(user)
  service.remove(user.id)
  t.strictSame(outcome(await refresh(refresh_token)), [401, 'user_disabled'])
  t.strictSame(outcome(await request('GET', ME, { token })), [401, 'token_revoked'])
  t.strictSame(outcome(await enter(user)), [401, 'invalid_credentials'])
})

t.test('a user disabled at the gateway gets nothing, whatever the service says', async (t) => {
  const { service, app, refresh, request, tokensOf, enter } = await buildExternalApp(t)
  const user = service.add()
  const { access_token: token, refresh_token } = await tokensOf(user)
  await app.users.update(user.id, { isActive: false })
  t.strictSame(outcome(await request('GET', ME, { token })), [401, 'user_disabled'])
  const before = service.callsTo('/refresh').length
  t.strictSame(outcome(await refresh(refresh_token)), [401, 'user_disabled'])
  t.equal(service.callsTo('/refresh').length, before)
  t.strictSame(outcome(await enter({ ...user, password: 'wrong' })), [401, 'invalid_credentials'])
  t.strictSame(outcome(await enter(user)), [401, 'user_disabled'])
  await nextSecond()
  t.strictSame(outcome(await refresh(service.pair(user).refreshToken)), [401, 'user_disabled'])
  await app.users.update(user.id, { isActive: true })
  t.equal((await enter(user)).statusCode, 200)
})
