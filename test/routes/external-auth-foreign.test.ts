import { createHmac } from 'node:crypto'
import t from 'tap'
import { ME, outcome, REVOKE } from '../auth/external-app.ts'
import { AUDIENCE, foreignToken, ISSUER, newKey, startKeySet } from '../auth/key-set.ts'
import { ADMIN, buildTestApp } from '../helper.ts'

const key = newKey('one')

/** The gateway with users of its own, and beside them those of an issuer with a key set. */
async function buildForeignApp(t: Parameters<typeof buildTestApp>[0]) {
  const server = await startKeySet(key)
  const env = { AUTH_JWKS_URL: server.url, AUTH_ISSUER: ISSUER, AUTH_AUDIENCE: AUDIENCE }
  t.teardown(() => server.close())
  return { server, ...(await buildTestApp(t, { env })) }
}

t.test('a foreign token is accepted beside local logins, with the role of its claim', async (t) => {
  const { request, admin } = await buildForeignApp(t)
  const token = foreignToken(key, { username: 'visitor', email: 'v@example.com' })
  const { user_id: id } = (await request('GET', ME, { token })).json()
  const shown = await request('GET', `/api/v1/admin/users/${id}`, { token: admin.token })
  t.match(shown.json(), { id, username: 'visitor', email: 'v@example.com', role: 'user', external_id: 'subject-1' })
  t.strictSame(outcome(await request('GET', '/api/v1/admin/users', { token })), [403, 'role_required'])
  const boss = foreignToken(key, { sub: 'boss', role: 'admin' })
  t.equal((await request('GET', '/api/v1/admin/users', { token: boss })).statusCode, 200)
})

t.test('it never takes over an account, neither by id nor by e-mail nor by name', async (t) => {
  const { request, admin, app } = await buildForeignApp(t)
  const token = foreignToken(key, { sub: admin.id, username: ADMIN.username, email: ADMIN.email, sid: 'x' })
  const { user_id: id } = (await request('GET', ME, { token })).json()
  t.not(id, admin.id)
  t.match(await app.users.findById(id), { username: null, role: 'user' })
  t.equal((await app.users.findByEmail(ADMIN.email))?.id, admin.id)
  t.strictSame(outcome(await request('GET', '/api/v1/admin/users', { token })), [403, 'role_required'])
})

t.test('a public key is no shared secret', async (t) => {
  const { request } = await buildForeignApp(t)
  const pem = key.publicKey.export({ type: 'spki', format: 'pem' })
  for (const secret of [pem, JSON.stringify(key.jwk), '']) {
    const claims = { sub: 'x', role: 'admin', iss: ISSUER, aud: AUDIENCE, exp: Math.floor(Date.now() / 1000) + 600 }
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const input = `${encode({ alg: 'HS256', kid: 'one' })}.${encode(claims)}`
    const token = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
    t.strictSame(outcome(await request('GET', ME, { token })), [401, 'invalid_token'])
  }
})

t.test('a new key is met by its first token; without the issuer the known ones go on', async (t) => {
  const { request, server } = await buildForeignApp(t)
  t.equal((await request('GET', ME, { token: foreignToken(key) })).statusCode, 200)
  const next = newKey('two', 'EdDSA')
  server.publish(key, next)
  t.equal((await request('GET', ME, { token: foreignToken(next) })).statusCode, 200)
  const before = server.requests
  for (let n = 0; n < 20; n++)
    t.strictSame(outcome(await request('GET', ME, { token: foreignToken(newKey(`made-up-${n}`)) })), [
      401,
      'invalid_token'
    ])
  t.equal(server.requests, before)
  await server.close()
  t.equal((await request('GET', ME, { token: foreignToken(key, { jti: '2' }) })).statusCode, 200)
})

t.test('an issuer that cannot be reached is 503, and no reason to refuse local users', async (t) => {
  const { server, request, admin } = await buildForeignApp(t)
  server.fail({ status: 500, body: 'secret-text-of-the-issuer' })
  const fresh = await buildTestApp(t, {
    env: { AUTH_JWKS_URL: server.url, AUTH_ISSUER: ISSUER, AUTH_AUDIENCE: AUDIENCE }
  })
  const reply = await fresh.request('GET', ME, { token: foreignToken(key) })
  t.strictSame(outcome(reply), [503, 'auth_unavailable'])
  t.notMatch(reply.body, /secret-text/)
  t.equal((await fresh.request('GET', ME, { token: fresh.admin.token })).statusCode, 200)
  t.equal((await request('GET', ME, { token: admin.token })).statusCode, 200)
})

t.test('a foreign token can be revoked here, alone or with all others', async (t) => {
  const { request } = await buildForeignApp(t)
  const iat = Math.floor(Date.now() / 1000) - 60
  const [one, two] = [foreignToken(key, { iat, jti: '1' }), foreignToken(key, { iat, jti: '2' })]
  t.match((await request('POST', REVOKE, { token: one })).json(), { revoked_count: 1 })
  t.strictSame(outcome(await request('GET', ME, { token: one })), [401, 'token_revoked'])
  t.equal((await request('GET', ME, { token: two })).statusCode, 200)
  const three = foreignToken(key, { iat, jti: '3' })
  t.match((await request('POST', REVOKE, { token: three, body: { all_tokens: true } })).json(), { revoked_count: 1 })
  t.strictSame(outcome(await request('GET', ME, { token: two })), [401, 'token_revoked'])
})
