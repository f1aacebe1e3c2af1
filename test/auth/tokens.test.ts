import { createHmac } from 'node:crypto'
import t from 'tap'
import { createTokens } from '../../src/auth/tokens.ts'
import { createIds } from '../../src/ids.ts'
import { createFakeClock } from '../clock.ts'
import { codeOf, HOUR_MS, SECRET } from './parts.ts'

const START = Date.UTC(2026, 0, 1)
const NOW = START / 1000
const DIGEST: Record<string, string> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }
const user = { id: 'u1', username: 'alice', email: 'alice@example.com', role: 'premium' } as const

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

/** A token as another service would make it. */
function forge(claims: unknown, { alg = 'HS256', secret = SECRET, header = {} } = {}): string {
  const input = `${encode({ alg, typ: 'JWT', ...header })}.${encode(claims)}`
  const digest = DIGEST[alg]
  return `${input}.${digest === undefined ? '' : createHmac(digest, secret).update(input).digest('base64url')}`
}

function parts(algorithm: 'HS256' | 'HS384' | 'HS512' = 'HS256', cacheSize = 100) {
  const clock = createFakeClock(START)
  const tokens = createTokens({ secret: SECRET, algorithm, accessTtlMs: HOUR_MS, clock, ids: createIds(), cacheSize })
  return { clock, tokens }
}

t.test('a token signed here carries the claims of the contract and passes its own verification', async (t) => {
  for (const algorithm of ['HS256', 'HS384', 'HS512'] as const) {
    const { tokens } = parts(algorithm)
    const token = tokens.sign(user, 'family')
    const [header = '', payload = ''] = token.split('.')
    t.match(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: algorithm })
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
    t.match(claims, { sub: 'u1', user_id: 'u1', username: 'alice', email: 'alice@example.com', role: 'premium' })
    t.match(claims, { type: 'access', sid: 'family', jti: String, iat: NOW, exp: NOW + 3600 })
    t.match(tokens.verify(token), { userId: 'u1', username: 'alice', role: 'premium', sid: 'family', issuedAt: START })
  }
})

t.test('only the configured algorithm and key are believed', async (t) => {
  const { tokens } = parts()
  const claims = { sub: 'u1', exp: NOW + 60 }
  const good = forge(claims)
  const refused = {
    'another algorithm': forge(claims, { alg: 'HS512' }),
    none: forge(claims, { alg: 'none' }),
    'none in capitals': forge(claims, { alg: 'NONE' }),
    'another key': forge(claims, { secret: 'x'.repeat(40) }),
    'signature removed': good.slice(0, good.lastIndexOf('.') + 1),
    'two parts': good.slice(0, good.lastIndexOf('.')),
    'changed payload': good.replace(/\.[^.]+\./, `.${encode({ sub: 'admin', exp: NOW + 60 })}.`),
    'unknown critical header': forge(claims, { header: { crit: ['b64'], b64: false } }),
    'a list': forge([claims]),
    'a string': forge('claims'),
    garbage: 'a.b.c',
    'too long': forge({ ...claims, padding: 'x'.repeat(9000) })
  }
  for (const [name, token] of Object.entries(refused))
    t.equal(await codeOf(() => tokens.verify(token)), 'invalid_token', name)
  t.equal(tokens.verify(good).userId, 'u1')
})

t.test('exp and an id are required, and what is there must make sense', async (t) => {
  const { tokens } = parts()
  const exp = NOW + 60
  const refused = [
    { sub: 'u1' },
    { sub: 'u1', exp: String(exp) },
    { sub: 'u1', exp: null },
    { exp },
    { sub: '', exp },
    { sub: 7, exp },
    { sub: 'x'.repeat(129), exp },
    { sub: 'a\u0000b', exp },
    { sub: 'a\nb', exp },
    { sub: '\ud800', exp },
    { user_id: { $ne: 1 }, exp },
    { sub: 'u1', exp, type: 'refresh' },
    { sub: 'u1', exp, type: 'id' },
    { sub: 'u1', exp, type: null },
    { sub: 'u1', exp, nbf: 'soon' }
  ]
  for (const claims of refused)
    t.equal(await codeOf(() => tokens.verify(forge(claims))), 'invalid_token', JSON.stringify(claims))
  t.equal(tokens.verify(forge({ user_id: 'u2', exp })).userId, 'u2', 'user_id stands in for sub')
  t.equal(tokens.verify(forge({ sub: 'u1', user_id: 'u2', exp })).userId, 'u1')
  t.equal(tokens.verify(forge({ sub: 'x'.repeat(128), exp, type: 'access' })).userId.length, 128)
})

t.test('the clock may be wrong by 30 seconds', async (t) => {
  const { tokens, clock } = parts()
  const token = forge({ sub: 'u1', exp: NOW + 60, nbf: NOW + 30 })
  t.equal(tokens.verify(token).userId, 'u1', 'not valid before now, within the leeway')
  t.equal(await codeOf(() => tokens.verify(forge({ sub: 'u1', exp: NOW + 60, nbf: NOW + 31 }))), 'invalid_token')
  clock.advance(89_999)
  t.equal(tokens.verify(token).userId, 'u1')
  clock.advance(1)
  t.equal(await codeOf(() => tokens.verify(token)), 'token_expired', 'remembered tokens expire too')
  t.equal(await codeOf(() => tokens.verify(token)), 'token_expired')
})

t.test('roles are read without case, and unknown words mean user', async (t) => {
  const { tokens } = parts()
  const roleOf = (role: unknown) => tokens.verify(forge({ sub: 'u1', exp: NOW + 60, role })).role
  t.strictSame(['ADMIN', 'Premium', 'user'].map(roleOf), ['admin', 'premium', 'user'])
  for (const word of ['enduser', 'supervisor', 'root', '', 7, null]) t.equal(roleOf(word), 'user', String(word))
})

t.test('names and times of other services are taken only when they are usable', async (t) => {
  const { tokens } = parts()
  const odd = tokens.verify(
    forge({ sub: 'u1', exp: 1e300, username: 'a\u0007b', email: 'no address', sid: 5, iat: 'x' })
  )
  t.match(odd, { username: null, email: null, sid: null, issuedAt: 0, expiresAt: 8_640_000_000_000_000 })
  const plain = tokens.verify(forge({ sub: 'u1', exp: NOW + 60, email: ' Alice@Example.com ', iss: 1, aud: 2, jti: 3 }))
  t.equal(plain.email, 'alice@example.com')
})

t.test('every spelling of one signature is the same token to the list of revoked ones', async (t) => {
  const { tokens } = parts()
  const token = forge({ sub: 'u1', exp: NOW + 60 })
  const last = token.at(-1) ?? ''
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const twin = token.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1]
  t.not(twin, token)
  t.equal(await codeOf(() => t.equal(tokens.verify(twin).hash, tokens.verify(token).hash)), undefined)
})

t.test('the memory of verified tokens is bounded', async (t) => {
  const { tokens } = parts('HS256', 2)
  const made = [1, 2, 3, 4].map((n) => forge({ sub: `u${n}`, exp: NOW + 60 }))
  for (const round of [1, 2])
    for (const [n, token] of made.entries()) t.equal(tokens.verify(token).userId, `u${n + 1}`, `round ${round}`)
})
