import t from 'tap'
import { buildExternalApp, ME, outcome } from '../auth/external-app.ts'

const USERS = '/api/v1/admin/users'

t.test('users are managed by the service: here they can be disabled, and nothing else', async (t) => {
  const { service, request, tokensOf, admin } = await buildExternalApp(t)
  const user = service.add()
  const { access_token: token } = await tokensOf(user)
  const body = { username: 'somebody', email: 'somebody@example.com', password: 'long enough' }
  const url = `${USERS}/${user.id}`
  t.strictSame(outcome(await request('POST', USERS, { token: admin.token, body })), [409, 'managed_externally'])
  t.strictSame(outcome(await request('DELETE', url, { token: admin.token })), [409, 'managed_externally'])
  for (const change of [{ role: 'admin' }, { email: 'x@example.com' }, { password: 'long enough' }])
    for (const form of [change, { ...change, is_active: false }])
      t.strictSame(outcome(await request('PATCH', url, { token: admin.token, body: form })), [
        409,
        'managed_externally'
      ])
  const disabled = await request('PATCH', url, { token: admin.token, body: { is_active: false } })
  t.match(disabled.json(), { id: user.id, is_active: false, external_id: user.id })
  t.strictSame(outcome(await request('GET', ME, { token })), [401, 'user_disabled'])
  await request('PATCH', url, { token: admin.token, body: { is_active: true } })
  t.equal((await request('GET', ME, { token })).statusCode, 200)
})

t.test('the last active administrator of the service cannot be disabled', async (t) => {
  const { service, request, tokensOf, admin } = await buildExternalApp(t)
  const me = (await request('GET', ME, { token: admin.token })).json().user_id
  const off = (id: string) => request('PATCH', `${USERS}/${id}`, { token: admin.token, body: { is_active: false } })
  t.strictSame(outcome(await off(me)), [409, 'last_admin'])
  const second = service.add({ role: 'admin' })
  await tokensOf(second)
  t.equal((await off(second.id)).statusCode, 200)
  t.strictSame(outcome(await off(me)), [409, 'last_admin'])
})

t.test('a user is found by e-mail at the service, and from then on here', async (t) => {
  const { service, request, admin } = await buildExternalApp(t)
  const user = service.add({ username: 'newcomer', role: 'premium' })
  const sync = (email: string, token = admin.token) =>
    request('POST', `${USERS}/sync-by-email`, { token, body: { email } })
  const reply = await sync(user.email.toUpperCase())
  t.match(reply.json().user_details, { id: user.id, username: 'newcomer', email: user.email, role: 'premium' })
  service.add({ ...user, username: 'renamed' })
  t.match((await sync(user.email)).json().user_details, { id: user.id, username: 'renamed' })
  t.strictSame(outcome(await sync('nobody@example.com')), [404, 'user_not_found'])
  service.next('%40example.com', { status: 500 })
  t.strictSame(outcome(await sync(user.email)), [503, 'auth_unavailable'])
  service.next('%40example.com', { status: 403 })
  t.strictSame(outcome(await sync(user.email)), [403, 'role_required'])
})

t.test('readiness shows the service and does not depend on it', async (t) => {
  const { service, request } = await buildExternalApp(t)
  service.always('/api/profile', { status: 500 })
  const { statusCode, ...reply } = await request('GET', '/ready')
  t.equal(statusCode, 200)
  t.match(reply, { body: /"auth":"down"/ })
  t.match((await request('GET', '/info')).json(), { auth_mode: 'external' })
})
