import t from 'tap'
import { buildExternalApp } from '../routes/accounting-open.ts'
import { makeEmbedToken, makeKey } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'

t.test('a budget holds in front of an accounting service too', async (t) => {
  const gateway = await buildExternalApp(t, {
    credits: 100,
    env: { RATE_LIMIT_PER_MINUTE: '0', MAX_CONCURRENT_PER_USER: '200' }
  })
  const { service, user, settled, problems } = gateway
  const { id, key } = await makeKey(gateway, user, { credit_budget: 5 })
  const replies = await Promise.all(Array.from({ length: 30 }, () => gateway.predict({}, key)))
  t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 5)
  const refused = replies.filter(({ statusCode }) => statusCode === 402)
  t.equal(refused.length, 25)
  t.match(refused[0]?.json(), { reason: 'key_budget_exhausted', available: 0, needed: 1 })
  await settled()
  t.equal(service.balances.get(user.id), 95)
  const shown = await gateway.request('GET', `${KEYS}/${id}`, { token: user.token })
  t.match(shown.json(), { credit_budget: 5, credit_budget_left: 0 })
  await gateway.request('DELETE', `${KEYS}/${id}`, { token: user.token })
  t.strictSame(await problems(), [])
})

t.test(
  'the service is asked as the owner of the key, never with the key, never as somebody else or an administrator',
  async (t) => {
    const gateway = await buildExternalApp(t, { credits: 10 })
    const { service, user, admin, chatflowId, settled } = gateway
    const { key } = await makeKey(gateway, user)
    const { token } = await makeEmbedToken(gateway, key)
    service.balances.set(admin.id, 1000)
    const question = { body: { question: 'hello' }, token: admin.token }
    const path = `/e/${token}/api/v1/prediction/${chatflowId}`
    t.equal((await gateway.request('POST', path, question)).statusCode, 200)
    t.equal((await gateway.predict({}, key)).statusCode, 200)
    t.match((await gateway.balance(key)).json(), { user_id: user.id })
    await settled()
    t.equal(service.balances.get(user.id), 8)
    t.equal(service.balances.get(admin.id), 1000, 'a login beside the token of a path is not looked at')
    const own = await makeKey(gateway, admin)
    t.equal((await gateway.balance(own.key)).statusCode, 200)
    const bearers = JSON.stringify(service.requests)
    t.notMatch(bearers, /fg[we]_/)
    t.ok(bearers.length > 100)
  }
)
