import t from 'tap'
import { createSessions, type Sessions } from '../../src/auth/sessions.ts'
import { sha256Hex } from '../../src/ids.ts'
import type { TokenFamilyRow, UserRow } from '../../src/store/collections.ts'
import type { AccessToken } from '../../src/auth/tokens.ts'
import { authParts, codeOf, HOUR_MS, SECRET } from './parts.ts'

/** What an access token is good for now. */
async function checked(sessions: Sessions, token: AccessToken, user: UserRow) {
  return sessions.check(token, user, await sessions.find(token))
}

t.test('a refresh token works once; its second use ends the session', async (t) => {
  const { sessions, tokens, newUser } = authParts(t)
  const user = await newUser('alice')
  const first = await sessions.issue(user)
  const second = await sessions.rotate(first.refreshToken)
  t.not(second.refreshToken, first.refreshToken)
  t.not(second.accessToken, first.accessToken)
  t.equal(tokens.verify(second.accessToken).sid, tokens.verify(first.accessToken).sid)
  const check = async () => (await checked(sessions, tokens.verify(second.accessToken), user)).isRevoked
  t.equal(await check(), false)
  t.equal(await codeOf(sessions.rotate(first.refreshToken)), 'invalid_refresh_token')
  t.equal(await check(), true, 'every token since that login')
  t.equal(await codeOf(sessions.rotate(second.refreshToken)), 'invalid_refresh_token')
})

t.test('the reuse of an expired token ends the session too', async (t) => {
  const { sessions, clock, newUser } = authParts(t)
  const first = await sessions.issue(await newUser('alice'))
  clock.advance(23 * HOUR_MS)
  const second = await sessions.rotate(first.refreshToken)
  clock.advance(2 * HOUR_MS)
  t.equal(await codeOf(sessions.rotate(first.refreshToken)), 'invalid_refresh_token')
  t.equal(await codeOf(sessions.rotate(second.refreshToken)), 'invalid_refresh_token')
})

t.test('identical refreshes that overlap share one result', async (t) => {
  const { sessions, store, newUser } = authParts(t)
  const { refreshToken } = await sessions.issue(await newUser('alice'))
  const pairs = await Promise.all([1, 2, 3].map(() => sessions.rotate(refreshToken)))
  t.equal(new Set(pairs.map((pair) => pair.refreshToken)).size, 1)
  t.equal(await store.collection('refresh_tokens').count({}), 2)
  t.ok(await sessions.rotate(pairs[0]?.refreshToken ?? ''), 'and the session lives')
})

t.test(
  'identical refreshes in two processes share one result, for a moment and while nobody has used it',
  async (t) => {
    const parts = authParts(t)
    const { clock, sessions, tokens, newUser } = parts
    const elsewhere = createSessions({ ...parts, refreshTtlMs: 24 * HOUR_MS, secret: SECRET })
    const user = await newUser('alice')
    const isRevoked = async (accessToken: string) =>
      (await checked(sessions, tokens.verify(accessToken), user)).isRevoked
    for (const spoil of ['time', 'use'] as const) {
      const { refreshToken } = await sessions.issue(user)
      const [one, other] = await Promise.all([sessions.rotate(refreshToken), elsewhere.rotate(refreshToken)])
      t.equal(one.refreshToken, other.refreshToken)
      t.not(one.refreshToken, refreshToken)
      t.equal(await isRevoked(other.accessToken), false)
      if (spoil === 'time') clock.advance(2000)
      else t.not((await sessions.rotate(one.refreshToken)).refreshToken, one.refreshToken)
      const codes = await Promise.all([sessions, elsewhere].map((each) => codeOf(each.rotate(refreshToken))))
      t.same(codes, ['invalid_refresh_token', 'invalid_refresh_token'], spoil)
      t.equal(await isRevoked(other.accessToken), true, spoil)
    }
  }
)

t.test('unknown and expired refresh tokens are refused without a trace', async (t) => {
  const { sessions, clock, newUser } = authParts(t)
  const { refreshToken } = await sessions.issue(await newUser('alice'))
  t.equal(await codeOf(sessions.rotate('nonsense')), 'invalid_refresh_token')
  t.equal(
    await codeOf(sessions.rotate(sha256Hex(refreshToken))),
    'invalid_refresh_token',
    'the stored form is no token'
  )
  clock.advance(24 * HOUR_MS)
  t.equal(await codeOf(sessions.rotate(refreshToken)), 'invalid_refresh_token')
})

t.test('a refresh token of an auth service is not exchanged here when passwords are kept here again', async (t) => {
  const { sessions, store, newUser } = authParts(t)
  const { refreshToken } = await sessions.issue(await newUser('alice'))
  const families = store.collection<TokenFamilyRow>('token_families')
  const [family] = await families.list({ limit: 1 })
  await families.update(family?.id ?? '', {}, { set: { sealedToken: 'sealed' } })
  t.equal(await codeOf(sessions.rotate(refreshToken)), 'invalid_refresh_token')
  await families.update(family?.id ?? '', {}, { unset: ['sealedToken'] })
  t.ok(await sessions.rotate(refreshToken), 'the same session, if it is ours')
})

t.test('a disabled user refreshes nothing, and may when enabled again', async (t) => {
  const { sessions, users, newUser } = authParts(t)
  const user = await newUser('alice')
  const { refreshToken } = await sessions.issue(user)
  await users.update(user.id, { isActive: false })
  t.equal(await codeOf(sessions.rotate(refreshToken)), 'user_disabled')
  await users.update(user.id, { isActive: true })
  t.ok(await sessions.rotate(refreshToken), 'the refusal had no side effect')
})

t.test('new tokens carry the role of the moment', async (t) => {
  const { sessions, tokens, users, newUser } = authParts(t)
  const user = await newUser('alice')
  const { refreshToken } = await sessions.issue(user)
  await users.update(user.id, { role: 'premium' })
  const { accessToken, user: shown } = await sessions.rotate(refreshToken)
  t.equal(tokens.verify(accessToken).role, 'premium')
  t.equal(shown.role, 'premium')
})

t.test('a password that changes during a login ends that login', async (t) => {
  const { sessions, users, newUser } = authParts(t)
  const asRead = await newUser('alice')
  await users.update(asRead.id, { passwordHash: 'another' })
  t.equal(await codeOf(sessions.issue(asRead)), 'invalid_credentials')
  await users.update(asRead.id, { isActive: false })
  t.equal(await codeOf(sessions.issue(asRead)), 'user_disabled')
})

t.test('a password change ends the sessions that began before, in one write', async (t) => {
  const { sessions, tokens, users, clock, newUser } = authParts(t)
  const user = await newUser('alice')
  const pair = await sessions.issue(user)
  clock.advance(1)
  const { after: changed } = await users.update(user.id, { passwordHash: 'another' })
  t.equal((await checked(sessions, tokens.verify(pair.accessToken), changed)).isRevoked, true)
  t.equal(await codeOf(sessions.rotate(pair.refreshToken)), 'invalid_refresh_token')
  const later = await sessions.issue(changed)
  t.equal((await checked(sessions, tokens.verify(later.accessToken), changed)).isRevoked, false)
})

t.test('a session is ended by its refresh token or the SHA-256 of it, by its owner only', async (t) => {
  const { sessions, newUser } = authParts(t)
  const alice = await newUser('alice')
  const bob = await newUser('bob')
  const one = await sessions.issue(alice)
  const two = await sessions.issue(alice)
  t.equal(await codeOf(sessions.revoke(one.refreshToken, bob.id)), 'token_not_found')
  t.equal(await codeOf(sessions.revoke('nonsense', alice.id)), 'token_not_found')
  t.equal(await codeOf(sessions.revoke(sha256Hex(one.refreshToken).toUpperCase(), alice.id)), 'token_not_found')
  t.equal(await sessions.revoke(one.refreshToken, alice.id), 1)
  t.equal(await sessions.revoke(one.refreshToken, alice.id), 0, 'ended already')
  t.equal(await sessions.revoke(sha256Hex(two.refreshToken), alice.id), 1)
  t.equal(await codeOf(sessions.rotate(two.refreshToken)), 'invalid_refresh_token')
})

t.test('all sessions of a user end at once, and those of others go on', async (t) => {
  const { sessions, tokens, newUser } = authParts(t)
  const alice = await newUser('alice')
  const pairs = [await sessions.issue(alice), await sessions.issue(alice), await sessions.issue(alice)]
  const other = await sessions.issue(await newUser('bob'))
  await sessions.revoke(pairs[0]?.refreshToken ?? '', alice.id)
  t.equal(await sessions.revokeAll(tokens.verify(pairs[1]?.accessToken ?? '')), 2)
  for (const pair of pairs) t.equal(await codeOf(sessions.rotate(pair.refreshToken)), 'invalid_refresh_token')
  t.ok(await sessions.rotate(other.refreshToken))
  t.ok(await sessions.issue(alice), 'and a new login works in the same millisecond')
})

t.test('a token without a session is revoked by itself, or with all tokens issued before', async (t) => {
  const { sessions, users, clock, newUser } = authParts(t)
  const user = await newUser('alice')
  const token = (hash: string) => ({
    ...({ userId: user.id, username: null, email: null, role: 'user', sid: null, hash } as const),
    issuedAt: clock.now(),
    expiresAt: clock.now() + HOUR_MS
  })
  const isRevoked = async (asked: ReturnType<typeof token>) => {
    const row = await users.findById(user.id)
    return row && (await checked(sessions, asked, row)).isRevoked
  }
  t.equal(await sessions.revokeOwn(token('one')), 1)
  t.equal(await isRevoked(token('one')), true)
  t.equal(await isRevoked(token('two')), false)
  t.equal(await isRevoked({ ...token('three'), issuedAt: 0 }), false, 'iat is not required')
  t.equal(await sessions.revokeAll(token('two')), 1)
  t.equal(await isRevoked(token('two')), true)
  t.equal(await isRevoked(token('three')), true, 'issued in the same second')
  clock.advance(1000)
  t.equal(await isRevoked(token('four')), false)
})

t.test('a session id that is not one of the user counts as none', async (t) => {
  const { sessions, tokens, newUser } = authParts(t)
  const alice = await newUser('alice')
  const bobs = tokens.verify((await sessions.issue(await newUser('bob'))).accessToken)
  t.strictSame(await checked(sessions, { ...bobs, userId: alice.id }, alice), { sid: null, isRevoked: false })
  t.equal(await sessions.revokeOwn({ ...bobs, userId: alice.id }), 1)
  t.equal((await checked(sessions, { ...bobs, userId: alice.id }, alice)).isRevoked, true)
})

t.test('expired rows are purged, and a revoked session not before its access tokens have expired', async (t) => {
  const { sessions, tokens, store, clock, newUser } = authParts(t)
  const user = await newUser('alice')
  const pair = await sessions.issue(user)
  await sessions.revokeOwn(tokens.verify(pair.accessToken))
  await sessions.revokeOwn({ ...tokens.verify((await sessions.issue(user)).accessToken), sid: null })
  clock.advance(24 * HOUR_MS)
  await sessions.purge()
  t.equal(await store.collection('token_families').count({}), 2)
  clock.advance(HOUR_MS)
  await sessions.purge()
  for (const name of ['token_families', 'refresh_tokens', 'revoked_tokens'])
    t.equal(await store.collection(name).count({}), 0, name)
})

t.test('the sessions of a deleted user are removed, and nobody else’s', async (t) => {
  const { sessions, store, newUser } = authParts(t)
  const alice = await newUser('alice')
  const { refreshToken } = await sessions.issue(alice)
  await sessions.rotate(refreshToken)
  await sessions.issue(await newUser('bob'))
  await sessions.removeAll(alice.id)
  t.equal(await store.collection('token_families').count({}), 1)
  t.equal(await store.collection('refresh_tokens').count({}), 1)
})
