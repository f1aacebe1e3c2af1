import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { ADMIN, buildTestApp } from '../helper.ts'

const AUTHENTICATE = '/api/v1/chat/authenticate'

const outcome = (reply: LightMyRequestResponse) => [reply.statusCode, reply.json().code]

t.test('more logins at once than passwords can be checked are 503 overloaded', async (t) => {
  const gate = Promise.withResolvers<void>()
  let isShut = false
  const bcrypt = {
    hash: async (password: string) => password,
    compare: async (password: string, hash: string) => {
      if (isShut) await gate.promise
      return password === hash
    },
    close: async () => {}
  }
  const { request } = await buildTestApp(t, { env: { LOGIN_FAILURE_LIMIT: '0' }, parts: { bcrypt } })
  isShut = true
  const body = { username: 'nobody', password: 'wrong password' }
  const refused = Promise.withResolvers<void>()
  const replies = Array.from({ length: 300 }, async () => {
    const reply = await request('POST', AUTHENTICATE, { body })
    if (reply.statusCode === 503) refused.resolve()
    return reply
  })
  await refused.promise
  gate.resolve()
  const outcomes = (await Promise.all(replies)).map((reply) => outcome(reply).join(' '))
  t.strictSame(new Set(outcomes), new Set(['401 invalid_credentials', '503 overloaded']))
  t.equal(outcomes.filter((text) => text.startsWith('401')).length >= 256, true)
  const full = (await Promise.all(replies)).find(({ statusCode }) => statusCode === 503)
  t.ok(Number(full?.headers['retry-after']) > 0)
})

t.test('refreshes that were sent together get the same new tokens, and the session lives', async (t) => {
  const { request, login } = await buildTestApp(t)
  const { refresh_token } = await login(ADMIN.username, ADMIN.password)
  const refresh = (token: string) => request('POST', '/api/v1/chat/refresh', { body: { refresh_token: token } })
  const replies = await Promise.all(Array.from({ length: 30 }, () => refresh(refresh_token)))
  t.strictSame([...new Set(replies.map(({ statusCode }) => statusCode))], [200])
  const [next, ...others] = new Set(replies.map((reply): string => reply.json().refresh_token))
  t.equal(others.length, 0)
  t.equal((await refresh(next ?? '')).statusCode, 200)
  t.equal((await refresh(refresh_token)).statusCode, 401, 'afterwards the old token is spent')
})
