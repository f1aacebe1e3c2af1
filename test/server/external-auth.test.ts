import t from 'tap'
import { SERVICE_SECRET, startAuthStandIn } from '../stand-in/auth-service.ts'
import { environment, startProcess } from './gateway-process.ts'

async function post(
  url: string,
  body: unknown,
  token?: string
): Promise<{ status: number; json: Record<string, string> }> {
  const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) }
  const reply = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: reply.status, json: (await reply.json()) as Record<string, string> }
}

t.test('a process makes no administrator of its own; a logout that nobody heard survives kill -9', async (t) => {
  const service = await startAuthStandIn()
  t.teardown(() => service.close())
  const user = service.add()
  const env = environment(t, {
    EXTERNAL_AUTH_URL: service.url,
    JWT_ACCESS_SECRET: SERVICE_SECRET,
    ENABLE_CHATFLOW_SYNC: 'false'
  })
  service.always('/logout', { status: 503 })
  const first = startProcess(t, env)
  const chat = `${await first.listening}/api/v1/chat`
  t.notMatch(first.stdout(), /password +\S{20}/i)
  const { json } = await post(`${chat}/authenticate`, { username: user.username, password: user.password })
  const { access_token: token = '', refresh_token: refreshToken = '' } = json
  t.match(await post(`${chat}/revoke`, {}, token), { status: 200, json: { revoked_count: 1 } })
  await service.waitFor('/logout', 1)
  first.child.kill('SIGKILL')
  await first.exit
  t.ok(service.hasRefreshToken(refreshToken))

  service.always('/logout')
  const known = service.callsTo('/logout').length
  const second = startProcess(t, env)
  const again = `${await second.listening}/api/v1/chat`
  await service.waitFor('/logout', known + 1)
  t.equal(service.callsTo('/logout').at(-1)?.body.refreshToken, refreshToken)
  t.match(await post(`${again}/revoke`, {}, token), { status: 401, json: { code: 'token_revoked' } })
  t.match(await post(`${again}/refresh`, { refresh_token: refreshToken }), { status: 401 })
  for (const { stdout } of [first, second])
    for (const secret of [token, refreshToken, user.password]) t.notOk(stdout().includes(secret))
})
