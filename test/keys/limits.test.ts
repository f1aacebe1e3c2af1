import t, { type Test } from 'tap'
import { verifyBooks } from '../../src/credits/verify-books.ts'
import type { AccountRow } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp, type TestAppOptions } from '../helper.ts'
import { ask, echo, makeEmbedToken, askEmbedded, makeKey, outcome } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'
const MANY = { RATE_LIMIT_PER_MINUTE: '0', MAX_CONCURRENT_PER_USER: '200' }

async function setUp(t: Test, options: TestAppOptions = {}) {
  const gateway = await buildTestApp(t, { ...options, env: { ...MANY, ...options.env } })
  const user = await gateway.createUser({ credits: 1000, grants: [echo] })
  const account = () => gateway.app.store.collection<AccountRow>('accounts').get(user.id)
  const left = async (id: string) =>
    (await gateway.request('GET', `${KEYS}/${id}`, { token: user.token })).json().credit_budget_left
  return { gateway, user, account, left }
}

t.test('a hundred predictions at once on a budget for ten: ten, and the books are exact', async (t) => {
  const { gateway, user, account, left } = await setUp(t)
  const { id, key } = await makeKey(gateway, user, { credit_budget: 10 })
  const replies = await Promise.all(Array.from({ length: 100 }, () => ask(gateway, key)))
  const refused = replies.filter(({ statusCode }) => statusCode === 402)
  t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 10)
  t.equal(refused.length, 90)
  t.match(refused[0]?.json(), {
    code: 'insufficient_credits',
    reason: 'key_budget_exhausted',
    needed: 1,
    detail: /budget of this key/
  })
  t.notMatch(refused[0]?.body, '"held"', 'what its owner has is not told')
  t.equal(await left(id), 0)
  t.match(await account(), { available: 990_000_000, held: 0, holdCount: 0, limits: { [`key:${id}`]: 0 } })
  t.strictSame((await verifyBooks(gateway.app.store)).problems, [])
  t.equal((await ask(gateway, user.token)).statusCode, 200, 'its owner goes on')
})

t.test('a failed prediction gives the budget back', async (t) => {
  const { gateway, user, left } = await setUp(t)
  const { id, key } = await makeKey(gateway, user, { credit_budget: 1 })
  gateway.standIn.next({ status: 500, body: '{}' })
  t.equal((await ask(gateway, key)).statusCode, 502)
  t.equal(await left(id), 1)
  t.equal((await ask(gateway, key)).statusCode, 200)
  t.equal((await ask(gateway, key)).statusCode, 402)
})

t.test('a key that is revoked while its prediction runs: the answer comes, is charged, and is the last', async (t) => {
  const { gateway, user, account } = await setUp(t)
  const { id, key } = await makeKey(gateway, user, { credit_budget: 5 })
  gateway.standIn.next({ gates: { head: 'wait' } })
  const running = ask(gateway, key)
  await gateway.standIn.gate('wait').reached
  t.match((await account())?.limits, { [`key:${id}`]: 4_000_000 })
  await gateway.request('DELETE', `${KEYS}/${id}`, { token: user.token })
  t.strictSame((await account())?.limits, {})
  t.strictSame(outcome(await ask(gateway, key)), [401, 'token_revoked'])
  gateway.standIn.gate('wait').open()
  t.equal((await running).statusCode, 200)
  t.match(await account(), { available: 999_000_000, held: 0, limits: {} })
  t.strictSame((await account())?.limits, {}, 'nothing of the budget is left over')
  t.strictSame((await verifyBooks(gateway.app.store)).problems, [])
})

t.test('revoked while a hundred ask: who is let in is let in whole, and nobody after the reply', async (t) => {
  const { gateway, user, account } = await setUp(t)
  const { id, key } = await makeKey(gateway, user, { credit_budget: 100 })
  const asked = Array.from({ length: 100 }, () => ask(gateway, key))
  await gateway.request('DELETE', `${KEYS}/${id}`, { token: user.token })
  const late = await ask(gateway, key)
  t.equal(late.statusCode, 401)
  const statuses = (await Promise.all(asked)).map(({ statusCode }) => statusCode)
  t.strictSame(
    statuses.filter((status) => ![200, 401, 402].includes(status)),
    []
  )
  const charged = statuses.filter((status) => status === 200).length
  t.match(await account(), { available: (1000 - charged) * 1_000_000, held: 0, holdCount: 0 })
  t.strictSame((await account())?.limits, {})
  t.strictSame((await verifyBooks(gateway.app.store)).problems, [])
})

t.test('the rate of a key counts its requests of every kind, beside that of its owner', async (t) => {
  const clock = createFakeClock(Date.now())
  const { gateway, user } = await setUp(t, { clock })
  const { key } = await makeKey(gateway, user, { requests_per_minute: 3 })
  const other = await makeKey(gateway, user, { requests_per_minute: 3 })
  const me = (token: string) => gateway.request('GET', '/chat/credits', { token })
  t.equal((await ask(gateway, key)).statusCode, 200)
  t.equal((await me(key)).statusCode, 200)
  t.equal((await me(key)).statusCode, 200)
  const refused = await ask(gateway, key)
  t.match(refused.json(), { status: 429, code: 'rate_limited', detail: /3 requests a minute/ })
  t.match(refused.headers['retry-after'], /^[1-9]\d?$/)
  t.equal((await me(other.key)).statusCode, 200)
  t.equal((await me(user.token)).statusCode, 200)
  clock.advance(60_000)
  t.equal((await ask(gateway, key)).statusCode, 200)
})

t.test('pages share the budget and the rate of the key that made their tokens; only questions count', async (t) => {
  const { gateway, user, left } = await setUp(t)
  const { id, key } = await makeKey(gateway, user, { credit_budget: 2, requests_per_minute: 5 })
  const [one, two] = [await makeEmbedToken(gateway, key), await makeEmbedToken(gateway, key)]
  for (let i = 0; i < 10; i++)
    t.equal((await gateway.request('PUT', `/e/${one.token}/api/v1/chatmessage/abort/${echo}/x`)).statusCode, 200)
  t.equal((await askEmbedded(gateway, one.token)).statusCode, 200)
  t.equal((await askEmbedded(gateway, two.token)).statusCode, 200)
  t.equal(await left(id), 0)
  t.equal((await askEmbedded(gateway, two.token)).statusCode, 402)
  t.equal((await askEmbedded(gateway, one.token)).statusCode, 429, 'two tokens made, three questions asked')
})

t.test('an owner without credits has keys without credits', async (t) => {
  const { gateway } = await setUp(t)
  const poor = await gateway.createUser({ grants: [echo] })
  const { key } = await makeKey(gateway, poor, { credit_budget: 100 })
  t.match((await ask(gateway, key)).json(), { code: 'insufficient_credits', reason: 'insufficient_credits' })
})
