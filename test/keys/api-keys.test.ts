import t from 'tap'
import { sha256Hex } from '../../src/ids.ts'
import type { ApiKeyRow } from '../../src/store/key-rows.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { ask, echo, makeKey, outcome, report } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'
const DAY_MS = 86_400_000

t.test('a key is shown once; what is kept is its hash', async (t) => {
  const gateway = await buildTestApp(t)
  const { app, request, createUser } = gateway
  const user = await createUser({ grants: [echo] })
  const body = { name: ' Shop ', description: 'window', expires_in_days: 30, scopes: ['chat'], chatflow_ids: [echo] }
  const reply = await request('POST', KEYS, { token: user.token, body: { ...body, credit_budget: 2.5 } })
  t.equal(reply.statusCode, 201)
  const { api_key: key, ...shown } = reply.json()
  t.match(key, /^fgw_[a-z2-7]{12}_[\w-]{43}$/)
  t.match(shown, {
    name: 'Shop',
    description: 'window',
    scopes: ['chat'],
    chatflow_ids: [echo],
    credit_budget: 2.5,
    credit_budget_left: 2.5,
    requests_per_minute: null,
    status: 'active',
    last_used_at: null,
    revoked_at: null,
    key_preview: `fgw_${shown.id}_…${key.slice(-4)}`
  })
  t.equal(Date.parse(shown.expires_at) - Date.parse(shown.created_at), 30 * DAY_MS)
  const row = await app.store.collection<ApiKeyRow>('api_keys').get(shown.id)
  t.equal(row?.secretHash, sha256Hex(key))
  t.notMatch(JSON.stringify(row), key.slice(-43, -4))
  const one = await request('GET', `${KEYS}/${shown.id}`, { token: user.token })
  t.strictSame(one.json(), shown)
  const list = await request('GET', KEYS, { token: user.token })
  t.strictSame(list.json(), { api_keys: [shown], count: 1, next_cursor: null })
})

t.test('without members a key has both scopes, no end and no limits', async (t) => {
  const gateway = await buildTestApp(t)
  const reply = await gateway.request('POST', KEYS, { token: gateway.admin.token, body: { name: 'a' } })
  const nothing = { chatflow_ids: null, credit_budget: null, credit_budget_left: null, requests_per_minute: null }
  t.match(reply.json(), { scopes: ['chat', 'read'], expires_at: null, description: null, ...nothing })
})

t.test('what no key can be is refused, and says where', async (t) => {
  const { request, createUser } = await buildTestApp(t)
  const { token } = await createUser({ grants: [echo] })
  const wrong: [object, string[]][] = [
    [{}, ['body', 'name']],
    [{ name: '  ' }, ['body', 'name']],
    [{ name: 'a', scopes: [] }, ['body', 'scopes']],
    [{ name: 'a', scopes: ['chat', 'admin'] }, ['body', 'scopes', '1']],
    [{ name: 'a', scopes: ['embed'] }, ['body', 'scopes', '0']],
    [{ name: 'a', expires_in_days: 0 }, ['body', 'expires_in_days']],
    [{ name: 'a', credit_budget: -1 }, ['body', 'credit_budget']],
    [{ name: 'a', credit_budget: 0.0000001 }, ['body', 'credit_budget']],
    [{ name: 'a', requests_per_minute: 0 }, ['body', 'requests_per_minute']],
    [{ name: 'a', chatflow_ids: [] }, ['body', 'chatflow_ids']],
    [{ name: 'a', chatflow_ids: [echo, report] }, ['body', 'chatflow_ids', '1']],
    [{ name: 'a', chatflow_ids: ['nothing'] }, ['body', 'chatflow_ids', '0']]
  ]
  for (const [body, loc] of wrong) {
    const reply = await request('POST', KEYS, { token, body })
    t.equal(reply.statusCode, 422, JSON.stringify(body))
    t.match(reply.json().errors[0].loc, loc, JSON.stringify(body))
  }
  t.equal((await request('GET', KEYS, { token })).json().count, 0)
})

t.test('an administrator without a grant cannot confine a key to a chatflow', async (t) => {
  const { request, admin } = await buildTestApp(t)
  const reply = await request('POST', KEYS, { token: admin.token, body: { name: 'a', chatflow_ids: [echo] } })
  t.equal(reply.statusCode, 422)
})

t.test('a user has fifty keys at once, however they are asked for; a revoked or expired one makes room', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock })
  const { request, createUser } = gateway
  const user = await createUser()
  const { id } = await makeKey(gateway, user)
  await makeKey(gateway, user, { expires_in_days: 1 })
  const make = () => request('POST', KEYS, { token: user.token, body: { name: 'a' } })
  const replies = await Promise.all(Array.from({ length: 60 }, make))
  t.equal(replies.filter(({ statusCode }) => statusCode === 201).length, 48)
  t.strictSame(new Set(replies.map(({ statusCode }) => statusCode)), new Set([201, 409]))
  t.strictSame(outcome(await make()), [409, 'too_many_keys'])
  await request('DELETE', `${KEYS}/${id}`, { token: user.token })
  t.equal((await make()).statusCode, 201)
  t.equal((await make()).statusCode, 409)
  clock.advance(DAY_MS)
  const { access_token: token } = await gateway.login(user.username, user.password)
  t.equal((await request('POST', KEYS, { token, body: { name: 'a' } })).statusCode, 201)
  t.equal((await request('POST', KEYS, { token, body: { name: 'a' } })).statusCode, 409)
  t.equal((await gateway.createUser().then((other) => makeKey(gateway, other))).key.length, 60, 'others have theirs')
})

t.test('a list goes page by page, newest first', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser()
  const made: string[] = []
  for (let i = 0; i < 5; i++) made.push((await makeKey(gateway, user)).id)
  const seen: string[] = []
  let cursor = ''
  do {
    const page = (await gateway.request('GET', `${KEYS}?limit=2${cursor}`, { token: user.token })).json()
    seen.push(...page.api_keys.map(({ id }: { id: string }) => id))
    cursor = page.next_cursor ? `&cursor=${page.next_cursor}` : ''
  } while (cursor !== '')
  t.equal(new Set(seen).size, 5)
  t.strictSame(new Set(seen), new Set(made))
})

t.test('nobody else sees, changes, replaces or revokes a key', async (t) => {
  const gateway = await buildTestApp(t)
  const owner = await gateway.createUser({ grants: [echo], credits: 5 })
  const other = await gateway.createUser()
  const { id, key } = await makeKey(gateway, owner)
  for (const { token } of [other, gateway.admin])
    for (const reply of [
      await gateway.request('GET', `${KEYS}/${id}`, { token }),
      await gateway.request('PATCH', `${KEYS}/${id}`, { token, body: { name: 'mine' } }),
      await gateway.request('POST', `${KEYS}/${id}/rotate`, { token }),
      await gateway.request('DELETE', `${KEYS}/${id}`, { token })
    ])
      t.strictSame(outcome(reply), [404, 'key_not_found'])
  t.equal((await ask(gateway, key)).statusCode, 200)
})

t.test('a key can be changed: its name, its rate, and what it may spend from now on', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser({ grants: [echo], credits: 10 })
  const { id, key } = await makeKey(gateway, user, { credit_budget: 1 })
  const patch = (body: object) => gateway.request('PATCH', `${KEYS}/${id}`, { token: user.token, body })
  t.equal((await ask(gateway, key)).statusCode, 200)
  t.equal((await ask(gateway, key)).statusCode, 402)
  const changed = await patch({ name: 'b', description: 'c', credit_budget: 2, requests_per_minute: 50 })
  t.match(changed.json(), {
    name: 'b',
    description: 'c',
    credit_budget: 2,
    credit_budget_left: 2,
    requests_per_minute: 50
  })
  t.equal((await ask(gateway, key)).statusCode, 200)
  t.match((await patch({})).json(), { credit_budget: 2, credit_budget_left: 1 })
  t.match((await patch({ credit_budget: null, requests_per_minute: null, description: null })).json(), {
    credit_budget: null,
    credit_budget_left: null,
    requests_per_minute: null,
    description: null
  })
  for (let i = 0; i < 3; i++) t.equal((await ask(gateway, key)).statusCode, 200)
  t.match((await patch({ credit_budget: 1 })).json(), { credit_budget_left: 1 })
  t.strictSame([(await ask(gateway, key)).statusCode, (await ask(gateway, key)).statusCode], [200, 402])
  await gateway.request('DELETE', `${KEYS}/${id}`, { token: user.token })
  t.strictSame(outcome(await patch({ credit_budget: 9 })), [409, 'key_ended'])
  t.strictSame(
    await gateway.app.store
      .collection('accounts')
      .get(user.id)
      .then((row) => row && Reflect.get(row, 'limits')),
    {}
  )
})
