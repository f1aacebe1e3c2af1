import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildExternalApp, outcome } from '../auth/external-app.ts'

const { echo } = DEMO_IDS
const users = `/api/v1/admin/chatflows/${echo}/users`

async function setUp(t: Parameters<typeof buildExternalApp>[0]) {
  const test = await buildExternalApp(t)
  const { access_token: token } = await test.tokensOf(test.service.add({ role: 'admin' }))
  return {
    ...test,
    token,
    assign: (body: unknown) => test.request('POST', users, { token, body }),
    sync: (email: string) => test.request('POST', '/admin/users/sync-by-email', { token, body: { email } }),
    audit: async (action: string) =>
      (await test.request('GET', `/admin/audit?action=${action}`, { token })).json().entries,
    review: () => test.request('GET', '/admin/chatflows/audit-users', { token }),
    cleanUp: () =>
      test.request('POST', '/admin/chatflows/cleanup-users', {
        token,
        body: { action: 'delete_invalid', dry_run: false, force: true }
      })
  }
}

t.test('a user not yet known here is granted by e-mail or id, and by username once they are known', async (t) => {
  const { service, assign, enter, request, token } = await setUp(t)
  const [one, two, three] = [service.add(), service.add(), service.add()]
  t.match((await assign({ email: one.email.toUpperCase() })).json(), { user_id: one.id, status: 'Assigned' })
  const call = service.callsTo(`/by-email/${encodeURIComponent(one.email)}`).at(-1)
  t.equal(call?.headers.authorization, `Bearer ${token}`, "with the administrator's own bearer")
  t.match((await assign({ user_id: two.id })).json(), { user_id: two.id, email: two.email, status: 'Assigned' })
  t.strictSame(outcome(await assign({ username: three.username })), [404, 'user_not_found'])
  await enter(three)
  t.match((await assign({ username: three.username })).json(), { user_id: three.id, status: 'Assigned' })
  t.strictSame(outcome(await assign({ email: 'nobody@example.com' })), [404, 'user_not_found'])
  t.strictSame(outcome(await assign({ user_id: 'f'.repeat(24) })), [404, 'user_not_found'])
  const granted = (await enter(one)).json().access_token
  t.match((await request('GET', '/chatflows', { token: granted })).json(), [{ id: echo }])
})

t.test('in bulk each name has its result, and an outage is no result', async (t) => {
  const { service, request, token } = await setUp(t)
  const user = service.add()
  const body = { emails: [user.email, 'nobody@example.com'] }
  const reply = await request('POST', `${users}/bulk-add`, { token, body })
  t.match(reply.json(), {
    successful_assignments: [{ user_id: user.id }],
    failed_assignments: [{ email: 'nobody@example.com', code: 'user_not_found' }]
  })
  service.always('/by-email/away%40example.com', { status: 500 })
  const away = await request('POST', `${users}/bulk-add`, { token, body: { emails: ['away@example.com'] } })
  t.strictSame(outcome(away), [503, 'auth_unavailable'])
})

t.test('who is gone at the service is found by the audit; an outage counts nobody as gone', async (t) => {
  const { service, assign, review, cleanUp, request, token, audit } = await setUp(t)
  const [gone, kept] = [service.add(), service.add()]
  for (const { email } of [gone, kept]) await assign({ email })
  t.match((await review()).json(), { total_assignments: 2, invalid_assignments: 0 })
  service.remove(gone.id)
  service.always(`/users/${kept.id}`, { status: 503 })
  t.strictSame(outcome(await review()), [503, 'auth_unavailable'])
  await cleanUp()
  t.ok((await request('GET', users, { token })).json().some((row: { user_id: string }) => row.user_id === kept.id))
  service.always(`/users/${kept.id}`)
  await assign({ user_id: gone.id })
  const found = (await review()).json()
  t.match(found.assignments_by_issue_type, { user_inactive: 0, chatflow_deleted: 0 })
  t.match((await cleanUp()).json(), { errors: 0 })
  t.strictSame(
    (await request('GET', users, { token })).json().map((row: { user_id: string }) => row.user_id),
    [kept.id]
  )
  t.match(await audit('grant.cleanup'), [
    { target: echo, before: { user_id: gone.id }, after: { issue_type: 'user_not_found' } }
  ])
})

t.test('a grant is taken away while the service is down', async (t) => {
  const { service, assign, request, token } = await setUp(t)
  const user = service.add()
  await assign({ email: user.email })
  await service.close()
  t.match((await request('DELETE', `${users}/${user.email}`, { token })).json(), { status: 'Deactivated' })
})

t.test('sync-by-email brings the row up to date, with an entry when something changed', async (t) => {
  const { service, sync, audit, token } = await setUp(t)
  const user = service.add({ role: 'user' })
  const first = await sync(user.email)
  t.match(first.json(), {
    status: 'success',
    user_details: { id: user.id, username: user.username, email: user.email, external_id: user.id }
  })
  t.equal((await audit('user.sync')).length, 1)
  t.equal((await sync(user.email)).statusCode, 200)
  t.equal((await audit('user.sync')).length, 1, 'nothing new')
  service.add({ ...user, username: 'renamed' })
  t.match((await sync(` ${user.email.toUpperCase()}`)).json(), { user_details: { username: 'renamed' } })
  t.match((await audit('user.sync'))[0], { before: { username: user.username }, after: { username: 'renamed' } })
  t.equal(service.callsTo(encodeURIComponent(user.email)).at(-1)?.headers.authorization, `Bearer ${token}`)
  t.strictSame(outcome(await sync('nobody@example.com')), [404, 'user_not_found'])
  const answers = [
    [{ status: 403 }, [403, 'role_required']],
    [{ status: 500 }, [503, 'auth_unavailable']],
    [{ reset: true }, [503, 'auth_unavailable']],
    [{ body: '<html>' }, [503, 'auth_unavailable']]
  ] as const
  for (const [fault, expected] of answers) {
    service.next(encodeURIComponent(user.email), fault)
    t.strictSame(outcome(await sync(user.email)), expected, JSON.stringify(fault))
  }
})

t.test('users are made, changed and deleted at the service; here they are disabled', async (t) => {
  const { service, enter, request, token, audit } = await setUp(t)
  const user = service.add()
  await enter(user)
  const url = `/api/v1/admin/users/${user.id}`
  const refused = [
    await request('POST', '/api/v1/admin/users', {
      token,
      body: { username: 'local', email: 'local@example.com', password: 'long enough' }
    }),
    await request('PATCH', url, { token, body: { role: 'admin' } }),
    await request('PATCH', url, { token, body: { email: 'other@example.com', is_active: false } }),
    await request('PATCH', url, { token, body: { password: 'long enough' } }),
    await request('DELETE', url, { token })
  ]
  for (const reply of refused) t.strictSame(outcome(reply), [409, 'managed_externally'])
  t.match((await request('PATCH', url, { token, body: { is_active: false } })).json(), { is_active: false })
  t.match(await audit('user.update'), [{ before: { is_active: true }, after: { is_active: false } }])
  t.strictSame(outcome(await enter(user)), [401, 'user_disabled'])
})
