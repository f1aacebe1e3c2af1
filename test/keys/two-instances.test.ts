import t from 'tap'
import { heard, startInstances } from '../bus/instances.ts'
import { withRedis } from '../servers/redis.ts'
import { echo, makeEmbedToken, makeKey, outcome } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'
const question = { chatflow_id: echo, question: 'hello' }

void withRedis(t, 'what one instance does to a key holds in the other at once', async (t, redis) => {
  const env = {
    RATE_LIMIT_PER_MINUTE: '0',
    MAX_CONCURRENT_PER_USER: '200',
    JWT_SECRET_KEY: 'one-secret-of-both-one-secret-of-both'
  }
  const { one, other, gateway } = await startInstances(t, redis, env)
  const user = await gateway.createUser({ grants: [echo] })
  const { id, key } = await makeKey(gateway, user, { credit_budget: 10 })
  const { token } = await makeEmbedToken(gateway, key)
  const ask = ({ request }: typeof one) => request('POST', '/chat/predict', { token: key, body: question })
  const replies = await Promise.all(Array.from({ length: 40 }, (_, index) => ask(index % 2 ? one : other)))
  t.equal(replies.filter(({ statusCode }) => statusCode === 200).length, 10)
  t.equal(replies.filter(({ statusCode }) => statusCode === 402).length, 30)

  const slow = await makeKey(gateway, user, { requests_per_minute: 6 })
  const me = ({ request }: typeof one) => request('GET', '/chat/credits', { token: slow.key })
  const counted = await Promise.all(Array.from({ length: 20 }, (_, index) => me(index % 2 ? one : other)))
  t.equal(counted.filter(({ statusCode }) => statusCode === 200).length, 6)

  const embedded = () => other.request('POST', `/e/${token}/api/v1/prediction/${echo}`, { body: { question: 'hello' } })
  t.equal((await embedded()).statusCode, 402, 'the budget of the key')
  await one.request('DELETE', `${KEYS}/${id}`, { token: user.token })
  await heard(one, other)
  t.strictSame(outcome(await ask(other)), [401, 'token_revoked'])
  t.equal((await embedded()).statusCode, 401)
})
