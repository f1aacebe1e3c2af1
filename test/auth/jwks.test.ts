import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createHttpCaller } from '../../src/auth/http-call.ts'
import { createForeignTokens } from '../../src/auth/jwks.ts'
import { createKeyCache } from '../../src/auth/jwks-cache.ts'
import { fetchKeySet, readKeySet } from '../../src/auth/jwks-keys.ts'
import { createSystemClock } from '../../src/clock.ts'
import { AUDIENCE, foreignToken, ISSUER, newKey, type SigningKey, startKeySet } from './key-set.ts'
import { codeOf } from './parts.ts'

const NOW = Math.floor(Date.now() / 1000)

/** A verifier of tokens whose issuer has these keys. */
function verifier(keys: SigningKey[], roleClaim = 'role') {
  const clock = createSystemClock()
  const cache = createKeyCache({
    clock,
    onError: () => {},
    fetchKeys: async () => readKeySet({ keys: keys.map(({ jwk }) => jwk) })
  })
  return createForeignTokens({ keys: cache, issuer: ISSUER, audience: AUDIENCE, roleClaim, clock })
}

t.test('the three algorithms are verified, each with a key of its kind', async (t) => {
  const keys = [newKey('rsa', 'RS256'), newKey('ec', 'ES256'), newKey('ed', 'EdDSA')]
  const foreign = verifier(keys)
  for (const key of keys) {
    const token = foreignToken(key, { username: 'visitor', email: 'V@Example.com' })
    t.equal(foreign.isForeign(token), true)
    const claims = await foreign.verify(token)
    t.match(claims, {
      isForeign: true,
      externalId: 'subject-1',
      username: 'visitor',
      email: 'v@example.com',
      sid: null
    })
    t.strictSame(await foreign.verify(token), claims, 'remembered')
  }
})

t.test('a token is bound to its key, algorithm, issuer and audience', async (t) => {
  const [rsa, ec] = [newKey('rsa', 'RS256'), newKey('ec', 'ES256')]
  const foreign = verifier([rsa, ec])
  const good = foreignToken(ec)
  const refused: Record<string, string> = {
    'another key with the same id': foreignToken(newKey('ec', 'ES256')),
    'an unknown id': foreignToken(newKey('other', 'ES256')),
    'the id of another kind': foreignToken(ec, {}, { kid: 'rsa' }),
    'no signature': good.slice(0, good.lastIndexOf('.') + 1),
    'another payload': good.replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"x"}').toString('base64url')}.`),
    'a key in the header': foreignToken(
      newKey('ec', 'ES256'),
      {},
      { jwk: newKey('x').jwk, jku: 'http://127.0.0.1:1/' }
    ),
    'a critical extension': foreignToken(ec, {}, { crit: ['b64'], b64: false }),
    'another issuer': foreignToken(ec, { iss: 'https://id.example.com' }),
    'no issuer': foreignToken(ec, { iss: undefined }),
    'a list of issuers': foreignToken(ec, { iss: [ISSUER] }),
    'another audience': foreignToken(ec, { aud: 'others' }),
    'no audience': foreignToken(ec, { aud: undefined }),
    'part of an audience': foreignToken(ec, { aud: `${AUDIENCE}-2` }),
    'a refresh token': foreignToken(ec, { type: 'refresh' }),
    'no subject': foreignToken(ec, { sub: undefined }),
    'a subject by another name': foreignToken(ec, { sub: undefined, user_id: 'subject-1' }),
    'no end': foreignToken(ec, { exp: undefined }),
    'not yet': foreignToken(ec, { nbf: NOW + 120 }),
    'too long': foreignToken(ec, { padding: 'x'.repeat(9000) })
  }
  for (const [name, token] of Object.entries(refused))
    t.equal(await codeOf(foreign.verify(token)), 'invalid_token', name)
  t.equal(await codeOf(foreign.verify(foreignToken(ec, { exp: NOW - 31 }))), 'token_expired')
  const late = foreignToken(ec, { exp: NOW - 20, nbf: NOW + 20, aud: ['others', AUDIENCE] })
  t.equal((await foreign.verify(late)).externalId, 'subject-1', 'within the leeway')
})

t.test('only the three algorithms are foreign: none and HS are for the shared secret to refuse', async (t) => {
  const key = newKey('ec')
  const foreign = verifier([key])
  for (const alg of ['none', 'None', 'HS256', 'HS512', 'RS384', 'PS256', 'ES384', 'es256', '', 5, null, ['ES256']]) {
    const token = foreignToken(key, {}, { alg })
    t.equal(foreign.isForeign(token), false, String(alg))
    t.equal(await codeOf(foreign.verify(token)), 'invalid_token', String(alg))
  }
  for (const token of ['', '.', 'a.b.c', '..', 'e30.e30.', `${'x'.repeat(10_000)}.y.z`]) {
    t.equal(foreign.isForeign(token), false)
    t.equal(await codeOf(foreign.verify(token)), 'invalid_token')
  }
})

t.test('users are keyed by issuer and subject', async (t) => {
  const key = newKey('ec')
  const foreign = verifier([key])
  const idOf = async (sub: string) => (await foreign.verify(foreignToken(key, { sub }))).userId
  t.equal(await idOf('a'), await idOf('a'))
  t.not(await idOf('a'), await idOf('b'))
  t.match(await idOf('a'), /^foreign-[0-9a-f]{64}$/)
  const unverified = foreignToken(key, { email: 'v@example.com', email_verified: false })
  t.equal((await foreign.verify(unverified)).email, null)
})

t.test('the role is a word, a list, or further down', async (t) => {
  const key = newKey('ec')
  const cases: [string, Record<string, unknown>, string][] = [
    ['role', { role: 'ADMIN' }, 'admin'],
    ['role', { role: ['user', 'premium'] }, 'premium'],
    ['role', { role: ['premium', 'admin'] }, 'admin'],
    ['role', { role: { admin: true } }, 'user'],
    ['role', {}, 'user'],
    ['groups', { role: 'admin', groups: [] }, 'user'],
    ['realm_access.roles', { realm_access: { roles: ['offline', 'admin'] } }, 'admin'],
    ['https://example.com/role', { 'https://example.com/role': 'premium' }, 'premium'],
    ['constructor.name', {}, 'user']
  ]
  for (const [claim, claims, role] of cases)
    t.equal((await verifier([key], claim).verify(foreignToken(key, claims))).role, role, claim)
})

t.test('keys that are not for this are left out, and one odd key does not hide the others', async (t) => {
  const good = newKey('good')
  const { publicKey: weak } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const { publicKey: p384 } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const odd: unknown[] = [
    { kty: 'oct', k: 'c2VjcmV0', kid: 'secret', alg: 'HS256' },
    { ...weak.export({ format: 'jwk' }), kid: 'weak' },
    { ...p384.export({ format: 'jwk' }), kid: 'curve' },
    { ...newKey('x').jwk, use: 'enc' },
    { ...newKey('x').jwk, key_ops: ['sign'] },
    { ...newKey('x').jwk, alg: 'ES512' },
    { kty: 'RSA', n: 'x', e: 'y' },
    { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' },
    { kty: '__proto__' },
    null,
    'text',
    []
  ]
  t.strictSame(
    readKeySet({ keys: [...odd, good.jwk] }).map(({ kid }) => kid),
    ['good']
  )
  for (const members of [undefined, {}, { keys: {} }, { keys: Array.from({ length: 101 }, () => good.jwk) }])
    t.throws(() => readKeySet(members), JSON.stringify(members)?.slice(0, 40))
})

t.test('a key set is fetched within limits of status, size, time and form', async (t) => {
  const server = await startKeySet(newKey('one'))
  const http = createHttpCaller(createSystemClock())
  t.teardown(async () => {
    await http.close()
    await server.close()
  })
  const fetch = (maxBytes = 10_000) => fetchKeySet(http, { url: server.url, timeoutMs: 1000, maxBytes })
  t.equal((await fetch()).length, 1)
  t.equal(await codeOf(fetch(100)), 'auth_unavailable', 'too large')
  for (const answer of [
    { status: 500, body: '{"keys":[]}' },
    { status: 200, body: '<html>' },
    { status: 200, body: '[]' }
  ]) {
    server.fail(answer)
    t.equal(await codeOf(fetch()), 'auth_unavailable', JSON.stringify(answer))
  }
  server.fail('cut')
  t.equal(await codeOf(fetch()), 'auth_unavailable')
})
