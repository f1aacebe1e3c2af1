import t from 'tap'
import type { ApiKeyRow } from '../../src/store/key-rows.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { ask, echo, makeKey, outcome, report } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'
const HOUR_MS = 3_600_000
const ME = '/api/v1/chat/credits'

t.test('a key is a bearer, or the header X-API-Key; both are fine when they agree', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser({ credits: 5 })
  const { key } = await makeKey(gateway, user)
  const other = await makeKey(gateway, user)
  const me = (headers: Record<string, string>) => gateway.request('GET', ME, { headers })
  for (const headers of [
    { authorization: `Bearer ${key}` },
    { authorization: `bearer   ${key} ` },
    { 'x-api-key': key },
    { 'x-api-key': key, authorization: `Bearer ${key}` },
    { 'x-api-key': key, authorization: 'Basic YTpi' }
  ])
    t.match((await me(headers)).json(), { user_id: user.id, credits_remaining: 5 }, JSON.stringify(headers))
  for (const authorization of [`Bearer ${other.key}`, `Bearer ${user.token}`])
    t.strictSame(outcome(await me({ 'x-api-key': key, authorization })), [400, 'bad_request'])
  t.strictSame(outcome(await me({ 'x-api-key': user.token })), [401, 'invalid_token'], 'a login is no key')
  for (const name of ['api_key', 'key', 'access_token', 'x-api-key', 'token'])
    t.strictSame(outcome(await gateway.request('GET', `${ME}?${name}=${key}`)), [401, 'not_authenticated'], name)
})

t.test('what is no key in form is refused without asking the store; nearly right is as wrong as wrong', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser()
  const { id, key } = await makeKey(gateway, user)
  const { key: twin } = await makeKey(gateway, user)
  const malformed = [
    'fgw_',
    `fgw_${id}`,
    `fgw_${id}_`,
    key.slice(0, -1),
    `${key}A`,
    `${key} x`,
    `${key}%00`,
    `fgw_${'a'.repeat(7000)}`,
    key.replace('fgw_', 'fgw_\u00e9'),
    `fgw_${id.toUpperCase()}${key.slice(16)}`,
    `fgw_$where_______${key.slice(-44)}`,
    `fgw_../../../../e${key.slice(-44)}`
  ]
  const wrong = [
    `fgw_${id}${twin.slice(16)}`,
    `fgw_${id}_${'A'.repeat(43)}`,
    `fgw_${'a'.repeat(12)}${key.slice(16)}`,
    key.slice(0, 17) + (key.charAt(17) === 'x' ? 'y' : 'x') + key.slice(18)
  ]
  for (const token of [...malformed, ...wrong])
    for (const headers of [{ authorization: `Bearer ${token}` }, { 'x-api-key': token }]) {
      const reply = await gateway.request('GET', ME, { headers })
      t.match(reply.json(), { code: 'invalid_token', detail: 'This API key is not valid.' }, token.slice(0, 80))
    }
  t.equal((await gateway.request('GET', ME, { token: `Fgw${key.slice(3)}` })).statusCode, 401)
  t.equal((await gateway.request('GET', ME, { token: key })).statusCode, 200)
})

t.test('revoked, replaced or expired: each is told, and only to who has the key', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock })
  const user = await gateway.createUser()
  const { token } = user
  const me = async (key: string) => (await gateway.request('GET', ME, { token: key })).json()
  const revoked = await makeKey(gateway, user)
  const short = await makeKey(gateway, user, { expires_in_days: 1 })
  const old = await makeKey(gateway, user)
  t.match((await gateway.request('DELETE', `${KEYS}/${revoked.id}`, { token })).json(), { status: 'revoked' })
  t.match(await me(revoked.key), { code: 'token_revoked', detail: /revoked/ })
  t.match(await me(`fgw_${revoked.id}_${'A'.repeat(43)}`), { code: 'invalid_token' })
  const again = await gateway.request('DELETE', `${KEYS}/${revoked.id}`, { token })
  t.match(again.json(), { status: 'revoked', id: revoked.id }, 'twice is once')

  const rotate = (body?: object) => gateway.request('POST', `${KEYS}/${old.id}/rotate`, { token, body })
  const first = (await rotate()).json()
  t.equal(Date.parse(first.previous_valid_until), clock.now() + 24 * HOUR_MS, 'a day, unless something else is said')
  t.not(first.api_key, old.key)
  t.equal(first.id, old.id)
  t.match([await me(old.key), await me(first.api_key)], [{ user_id: user.id }, { user_id: user.id }])
  const second = (await rotate({ overlap_hours: 1 })).json()
  t.match(await me(old.key), { code: 'invalid_token' }, 'one overlaps, not two')
  clock.advance(HOUR_MS - 1)
  t.match(await me(first.api_key), { user_id: user.id })
  clock.advance(1)
  t.match(await me(first.api_key), { code: 'token_revoked', detail: /replaced/ })
  const third = (await rotate({ overlap_hours: 0 })).json()
  t.match(await me(second.api_key), { code: 'token_revoked', detail: /replaced/ })
  t.equal(third.previous_valid_until, null)
  t.match(await me(third.api_key), { user_id: user.id })
  t.equal((await rotate({ overlap_hours: 169 })).statusCode, 422)

  clock.advance(22 * HOUR_MS)
  t.match(await me(short.key), { user_id: user.id })
  clock.advance(HOUR_MS)
  t.match(await me(short.key), { code: 'token_expired', detail: /expired/ })
  const login = (await gateway.login(user.username, user.password)).access_token
  for (const { id } of [short, revoked]) {
    const reply = await gateway.request('POST', `${KEYS}/${id}/rotate`, { token: login })
    t.strictSame(outcome(reply), [409, 'key_ended'])
  }
})

t.test('of rotations at the same time the keys that were given out are no more than one', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser()
  const { id, key } = await makeKey(gateway, user)
  const rotate = () =>
    gateway.request('POST', `${KEYS}/${id}/rotate`, { token: user.token, body: { overlap_hours: 0 } })
  const replies = await Promise.all([rotate(), rotate(), rotate(), rotate()])
  const given = replies.filter(({ statusCode }) => statusCode === 200).map((reply) => reply.json().api_key)
  t.ok(given.length >= 1)
  const working: string[] = []
  for (const text of [key, ...given])
    if ((await gateway.request('GET', ME, { token: text })).statusCode === 200) working.push(text)
  t.strictSame(working, [given.at(-1)].filter((text) => working.includes(text)).slice(0, 1), 'the last one')
  t.equal(working.length, 1)
})

t.test('a key lives without logins, and no longer than its owner', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser()
  const { key } = await makeKey(gateway, user)
  const me = () => gateway.request('GET', ME, { token: key })
  await gateway.request('POST', '/chat/revoke', { token: user.token, body: { all_tokens: true } })
  t.equal((await me()).statusCode, 200, 'all logins have ended')
  const admin = (method: 'PATCH' | 'DELETE', body?: object) =>
    gateway.request(method, `/admin/users/${user.id}`, { token: gateway.admin.token, ...(body ? { body } : {}) })
  await admin('PATCH', { password: 'another password' })
  t.equal((await me()).statusCode, 200, 'the password has changed')
  await admin('PATCH', { is_active: false })
  t.strictSame(outcome(await me()), [401, 'user_disabled'])
  await admin('PATCH', { is_active: true })
  t.equal((await me()).statusCode, 200)
  await admin('DELETE')
  t.equal((await me()).statusCode, 401)
  t.equal(await gateway.app.store.collection('api_keys').count({ equal: { userId: user.id } }), 0)
})

t.test('when it was used last is known to the minute, and written once for many requests', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock })
  const user = await gateway.createUser()
  const { id, key } = await makeKey(gateway, user)
  const used = async () => (await gateway.app.store.collection<ApiKeyRow>('api_keys').get(id))?.lastUsedAt
  const me = () => gateway.request('GET', ME, { token: key })
  await Promise.all(Array.from({ length: 20 }, me))
  const first = clock.now()
  t.equal(await until(used, first), first)
  clock.advance(59_000)
  await me()
  t.equal(await used(), first)
  clock.advance(1000)
  // What is noted can be read before it is durable, and only then is more noted.
  const usedAgain = async () => (await me(), used())
  t.equal(await until(usedAgain, clock.now()), clock.now())
})

t.test('an administrator has the keys of everybody in view, and ends them; every change is recorded', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser()
  const { id, key } = await makeKey(gateway, user, { credit_budget: 3 })
  await makeKey(gateway, await gateway.createUser())
  const admin = gateway.admin.token
  const list = (query: string) => gateway.request('GET', `/admin/api-keys${query}`, { token: admin })
  t.equal((await list('')).json().count, 2)
  const own = (await list(`?user_id=${user.id}`)).json()
  t.match(own, { count: 1, api_keys: [{ id, user_id: user.id, credit_budget_left: 3 }] })
  t.notMatch(JSON.stringify(own), key)
  t.equal((await list(`?limit=1`)).json().api_keys.length, 1)
  await gateway.request('PATCH', `${KEYS}/${id}`, { token: user.token, body: { name: 'b' } })
  await gateway.request('POST', `${KEYS}/${id}/rotate`, { token: user.token })
  const gone = await gateway.request('DELETE', `/admin/api-keys/${id}`, { token: admin })
  t.match(gone.json(), { id, status: 'revoked' })
  t.strictSame(outcome(await gateway.request('GET', ME, { token: key })), [401, 'token_revoked'])
  t.strictSame(outcome(await gateway.request('DELETE', `/admin/api-keys/x`, { token: admin })), [404, 'key_not_found'])
  for (const reply of [
    await gateway.request('GET', '/admin/api-keys', { token: user.token }),
    await gateway.request('DELETE', `/admin/api-keys/${id}`, { token: user.token })
  ])
    t.strictSame(outcome(reply), [403, 'role_required'])
  const audit = (await gateway.request('GET', `/admin/audit?target=${id}`, { token: admin })).json()
  t.strictSame(
    audit.entries.map((entry: { action: string; actor_id: string }) => [entry.action, entry.actor_id]).toReversed(),
    [
      ['api_key.create', user.id],
      ['api_key.update', user.id],
      ['api_key.rotate', user.id],
      ['api_key.revoke', gateway.admin.id]
    ]
  )
  t.notMatch(JSON.stringify(audit), /[\w-]{43}/)
})

t.test('chatflows of a key are a filter of what its owner may use', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser({ credits: 10, grants: [echo, report] })
  const { key } = await makeKey(gateway, user, { chatflow_ids: [echo] })
  const list = await gateway.request('GET', '/chatflows', { token: key })
  t.strictSame(
    list.json().map(({ id }: { id: string }) => id),
    [echo]
  )
  t.equal((await ask(gateway, key)).statusCode, 200)
  t.match((await ask(gateway, key, { chatflow_id: report })).json(), { code: 'chatflow_forbidden', detail: /This key/ })
  t.strictSame(outcome(await ask(gateway, key, { chatflow_id: 'nothing' })), [404, 'chatflow_not_found'])
  t.equal((await gateway.request('GET', `/chatflows/${report}`, { token: key })).statusCode, 403)
  const mine = (await ask(gateway, user.token, { chatflow_id: report })).json().session_id
  const sessions = (await gateway.request('GET', '/chat/sessions', { token: key })).json()
  t.match(sessions, { count: 1, sessions: [{ chatflow_id: echo }] })
  for (const [method, url] of [
    ['GET', `/chat/sessions/${mine}/history`],
    ['GET', `/chat/files/session/${mine}`],
    ['DELETE', `/chat/sessions/${mine}`],
    ['POST', `/chat/sessions/${mine}/stop`]
  ] as const)
    t.strictSame(outcome(await gateway.request(method, url, { token: key })), [404, 'session_not_found'], url)
  await gateway.request('DELETE', `/admin/chatflows/${echo}/users?user_id=${user.id}`, { token: gateway.admin.token })
  t.strictSame(outcome(await ask(gateway, key)), [403, 'chatflow_forbidden'], 'its owner lost the grant')
})

/** Reads until the value is there. */
async function until<T>(read: () => Promise<T>, wanted: T): Promise<T> {
  for (;;) {
    const value = await read()
    if (value === wanted) return value
    await new Promise((resolve) => setImmediate(resolve))
  }
}
