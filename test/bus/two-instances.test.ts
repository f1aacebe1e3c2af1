import { Redis } from 'ioredis'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { PASSWORD } from '../helper.ts'
import { withRedis } from '../servers/redis.ts'
import { settled, stored } from '../prediction/tools.ts'
import { heard, type Instance, startInstances } from './instances.ts'

// On a busy machine the starts and the logins take long.
t.setTimeout(300_000)

const { echo } = DEMO_IDS
const PREDICT = '/api/v1/chat/predict'
const EFFECTIVE_MS = 1000

async function ask({ request }: Instance, token: string, sessionId?: string): Promise<[number, string]> {
  const session = sessionId === undefined ? {} : { sessionId }
  const reply = await request('POST', PREDICT, { token, body: { chatflow_id: echo, question: 'hi', ...session } })
  return [reply.statusCode, reply.statusCode === 200 ? 'ok' : JSON.parse(reply.body).code]
}

void withRedis(t, 'what one instance revokes or grants holds on the other within a second', async (t, redis) => {
  const { one, other, gateway } = await startInstances(t, redis)
  const { admin, createUser, login } = gateway
  const asAdmin = { token: admin.token }
  const user = await createUser({ grants: [echo] })
  const users = `/api/v1/admin/chatflows/${echo}/users`

  /** Changes something on one instance, and asks the other until the answer is the new one. */
  const changes = async (title: string, change: () => Promise<{ statusCode: number }>, token: string, code: string) => {
    const { statusCode } = await change()
    const startedAt = performance.now()
    let answer = await ask(other, token)
    while (answer[1] !== code && performance.now() - startedAt < EFFECTIVE_MS) answer = await ask(other, token)
    t.ok(statusCode < 300, `${title}: ${statusCode}`)
    t.equal(answer[1], code, title)
  }

  t.same(await ask(other, user.token), [200, 'ok'])
  const member = { ...asAdmin, body: { user_id: user.id } }
  await changes(
    'a grant that is taken away',
    () => one.request('DELETE', `${users}?user_id=${user.id}`, asAdmin),
    user.token,
    'chatflow_forbidden'
  )
  await changes('a grant', () => one.request('POST', users, member), user.token, 'ok')
  const frozen = (isFrozen: boolean) =>
    one.request('PUT', `/api/v1/admin/users/${user.id}/credits/frozen`, { ...asAdmin, body: { frozen: isFrozen } })
  await changes('an account that is frozen', () => frozen(true), user.token, 'account_frozen')
  await changes('and active again', () => frozen(false), user.token, 'ok')

  const { access_token: second, refresh_token: refresh } = await login(user.username, PASSWORD)
  t.same(await ask(other, second), [200, 'ok'])
  await changes(
    'a logout',
    () => one.request('POST', '/api/v1/chat/revoke', { token: second, body: {} }),
    second,
    'token_revoked'
  )
  t.same(await ask(other, user.token), [200, 'ok'], 'the other login goes on')
  const refreshed = await other.request('POST', '/api/v1/chat/refresh', { body: { refresh_token: refresh } })
  t.equal(refreshed.statusCode, 401)

  const patch = (body: unknown) => one.request('PATCH', `/api/v1/admin/users/${user.id}`, { ...asAdmin, body })
  await changes('a user who is disabled', () => patch({ is_active: false }), user.token, 'user_disabled')
  await patch({ is_active: true })
  const { access_token: third } = await login(user.username, PASSWORD)
  t.equal((await other.request('GET', '/api/v1/admin/users', { token: third })).statusCode, 403)
  await patch({ role: 'admin' })
  await heard(one, other)
  t.equal((await other.request('GET', '/api/v1/admin/users', { token: third })).statusCode, 200, 'a role')
  await changes('a password', () => patch({ password: 'another password' }), third, 'token_revoked')
  const { access_token: fourth } = await login(user.username, 'another password')
  await changes(
    'a user who is deleted',
    () => one.request('DELETE', `/api/v1/admin/users/${user.id}`, asAdmin),
    fourth,
    'user_disabled'
  )
  await settled(t, gateway, user.id)
})

void withRedis(t, 'limits count for all instances together', async (t, redis) => {
  const { one, other, gateway } = await startInstances(t, redis, {
    RATE_LIMIT_PER_MINUTE: '4',
    LOGIN_FAILURE_LIMIT: '3'
  })
  const user = await gateway.createUser({ grants: [echo] })
  for (const instance of [one, other, one, other]) t.same(await ask(instance, user.token), [200, 'ok'])
  for (const instance of [one, other]) t.same(await ask(instance, user.token), [429, 'rate_limited'])
  const login = async ({ request }: Instance, password: string) => {
    const reply = await request('POST', '/api/v1/chat/authenticate', { body: { username: user.username, password } })
    return reply.statusCode
  }
  for (const instance of [one, other, one]) t.equal(await login(instance, 'wrong'), 401)
  for (const instance of [other, one]) t.equal(await login(instance, PASSWORD), 429)
})

void withRedis(t, 'predictions at once count for all instances together, free ones too', async (t, redis) => {
  const { one, other, gateway } = await startInstances(t, redis, { MAX_CONCURRENT_PER_USER: '2' })
  const { standIn, admin, request } = gateway
  const user = await gateway.createUser({ grants: [echo] })
  await request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { price: 0 } })
  standIn.next({ gates: { head: 'a' } })
  const first = ask(one, user.token)
  await standIn.gate('a').reached
  standIn.next({ gates: { head: 'b' } })
  const second = ask(other, user.token)
  await standIn.gate('b').reached
  for (const instance of [one, other]) t.same(await ask(instance, user.token), [429, 'too_many_predictions'])
  standIn.gate('a').open()
  t.same(await first, [200, 'ok'])
  t.same(await ask(other, user.token), [200, 'ok'], 'a place is free again')
  standIn.gate('b').open()
  t.same(await second, [200, 'ok'])
  await settled(t, gateway, user.id)
})

void withRedis(t, 'one prediction per session, and a stop, on whichever instance', async (t, redis) => {
  const { one, other, gateway } = await startInstances(t, redis)
  const { standIn } = gateway
  const user = await gateway.createUser({ grants: [echo] })
  standIn.next({ gates: { head: 'here' } })
  const running = ask(one, user.token, 's')
  await standIn.gate('here').reached
  t.same(await ask(other, user.token, 's'), [409, 'session_busy'])
  const session = '/api/v1/chat/sessions/s'
  t.equal((await other.request('DELETE', session, { token: user.token })).statusCode, 409)
  const stop = () => other.request('POST', `${session}/stop`, { token: user.token })
  t.match((await stop()).json(), { stopped: true })
  t.not((await running)[0], 200)
  t.match((await stop()).json(), { stopped: false })
  t.same(await ask(other, user.token, 's'), [200, 'ok'])
  await settled(t, gateway, user.id)
})

void withRedis(t, 'the session of an instance that died is free when its lease has run out', async (t, redis) => {
  const { one, other, gateway } = await startInstances(t, redis)
  const { standIn } = gateway
  const user = await gateway.createUser({ grants: [echo] })
  t.same(await ask(other, user.token, 's'), [200, 'ok'])
  standIn.next({ gates: { head: 'never' } })
  const lost = ask(other, user.token, 's')
  await standIn.gate('never').reached
  // As a killed process leaves it: no renewal, no release.
  await other.bus.bus.close()
  t.same(await ask(one, user.token, 's'), [409, 'session_busy'])
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  const key = `${redis.prefix}:lease:session:s`
  const left = await client.pttl(key)
  t.ok(left > 0 && left <= 60_000, `${left} ms`)
  // The wait for it is left out: the end of the lease is moved to now.
  const [owner = ''] = await client.zrange(key, '0', '-1')
  await client.zadd(key, String(Date.now() - 1), owner)
  t.same(await ask(one, user.token, 's'), [200, 'ok'])
  standIn.gate('never').open()
  await lost
  await settled(t, { app: other.app }, user.id)
  t.equal((await stored(gateway).charges(user.id)).length, 3, 'both answers were given, and both are paid')
})
