import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'

const { echo, report } = DEMO_IDS
const users = `/api/v1/admin/chatflows/${echo}/users`

t.test('a user is assigned by id, e-mail or username, once, and listed', async (t) => {
  const { request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const [one, two, three] = [await createUser(), await createUser(), await createUser()]
  const assign = async (body: unknown) => (await request('POST', users, { token, body })).json()
  t.match(await assign({ user_id: one.id }), {
    user_id: one.id,
    username: one.username,
    email: one.email,
    status: 'Assigned'
  })
  t.match(await assign({ email: ` ${one.email.toUpperCase()}` }), {
    user_id: one.id,
    status: 'No Action',
    message: String
  })
  t.match(await assign({ username: two.username.toUpperCase() }), { user_id: two.id, status: 'Assigned' })
  t.match(await assign({ email: three.email, username: null }), { user_id: three.id, status: 'Assigned' })
  const listed = (await request('GET', users, { token })).json()
  t.strictSame(listed.map((row: { user_id: string }) => row.user_id).sort(), [one.id, two.id, three.id].sort())
  t.match(listed[0], { username: String, email: String, assigned_at: /Z$/, assigned_by: admin.id })

  t.match(await assign({ user_id: 'nobody' }), { status: 404, code: 'user_not_found' })
  for (const body of [
    {},
    { user_id: one.id, email: one.email },
    { email: 'no address' },
    { user_id: 7 },
    { username: '' }
  ])
    t.match(await assign(body), { status: 422 }, JSON.stringify(body))
  const unknown = await request('POST', '/admin/chatflows/nobody/users', { token, body: { user_id: one.id } })
  t.match(unknown.json(), { status: 404, code: 'chatflow_not_found' })
  t.match((await request('GET', '/admin/chatflows/nobody/users', { token })).json(), { code: 'chatflow_not_found' })
})

t.test('many assignments of one user at once make one grant', async (t) => {
  const { request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const { id } = await createUser()
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => request('POST', users, { token, body: { user_id: id } }))
  )
  const statuses = replies.map((reply) => reply.json().status)
  t.equal(statuses.filter((status) => status === 'Assigned').length, 1)
  t.equal(statuses.filter((status) => status === 'No Action').length, 19)
  t.equal((await request('GET', users, { token })).json().length, 1)
  const { entries } = (await request('GET', '/admin/audit?action=grant.assign', { token })).json()
  t.match(entries, [{ target: echo, after: { user_id: id } }])
  t.equal(entries.length, 1, 'what changed nothing is not recorded')
})

t.test('bulk-add answers for each name, also when all fail', async (t) => {
  const { request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const [one, two] = [await createUser(), await createUser({ grants: [echo] })]
  const add = (body: unknown) => request('POST', `${users}/bulk-add`, { token, body })
  const mixed = (
    await add({ emails: [one.email, 'no address'], usernames: [two.username], user_ids: ['nobody'] })
  ).json()
  t.match(mixed.successful_assignments, [
    { user_id: one.id, status: 'Assigned' },
    { user_id: two.id, status: 'No Action' }
  ])
  t.match(mixed.failed_assignments, [
    { email: 'no address', status: 'Failed', code: 'validation_error', message: String },
    { user_id: 'nobody', status: 'Failed', code: 'user_not_found', message: String }
  ])
  const failed = await add({ user_ids: ['a', 'b'] })
  t.equal(failed.statusCode, 200)
  t.equal(failed.json().failed_assignments.length, 2)
  t.equal((await add({})).statusCode, 422)
  const ids = (count: number) => Array.from({ length: count }, (_, index) => `u${index}`)
  t.equal((await add({ user_ids: ids(250), usernames: ids(251) })).statusCode, 422)
  t.equal((await add({ user_ids: ids(250), usernames: ids(250) })).statusCode, 200)
})

t.test('an assignment is removed by query, by body and by path', async (t) => {
  const { request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const user = await createUser()
  const forms = [
    { url: `${users}?email=${encodeURIComponent(user.email)}` },
    { url: `${users}?username=${user.username}` },
    { url: `${users}?user_id=${user.id}` },
    { url: users, body: { email: user.email } },
    { url: users, body: { user_id: user.id } },
    { url: `${users}/${user.id}` },
    { url: `${users}/${encodeURIComponent(user.email)}` },
    { url: `${users}/${user.username}` }
  ]
  for (const { url, body } of forms) {
    await request('POST', users, { token, body: { user_id: user.id } })
    const removed = await request('DELETE', url, { token, body })
    t.match(removed.json(), { user_id: user.id, email: user.email, status: 'Deactivated', message: String }, url)
    t.match((await request('DELETE', url, { token, body })).json(), { status: 404, code: 'assignment_not_found' })
  }
  const again = await request('POST', users, { token, body: { user_id: user.id } })
  t.match(again.json(), { status: 'Reactivated' })
  t.match((await request('DELETE', `${users}/nobody`, { token })).json(), { status: 404, code: 'user_not_found' })
  t.equal((await request('DELETE', users, { token })).statusCode, 422, 'nobody is named')
  const both = { token, body: { user_id: user.id } }
  t.equal((await request('DELETE', `${users}?user_id=${user.id}`, both)).statusCode, 422, 'named twice')
  t.match((await request('DELETE', '/admin/chatflows/nobody/users/x', { token })).json(), {
    code: 'chatflow_not_found'
  })
})

t.test('a text that is the e-mail of one user and the username of another names nobody', async (t) => {
  const { app, request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const one = await createUser({ grants: [echo] })
  const role = 'user' as const
  const two = await app.users.create({ username: one.email, email: 'two@example.com', role, passwordHash: 'none' })
  await request('POST', users, { token, body: { user_id: two.id } })
  t.equal((await request('DELETE', `${users}/${encodeURIComponent(one.email)}`, { token })).statusCode, 422)
  t.equal((await request('GET', users, { token })).json().length, 2)
})

t.test('audit finds what a disabled user left, cleanup ends it', async (t) => {
  const { app, request, admin, createUser } = await buildTestApp(t)
  const { token } = admin
  const user = await createUser({ grants: [echo] })
  await createUser({ grants: [report] })
  await app.permissions.assign({ userId: 'gone', chatflowId: echo }, { assignedBy: admin.id, now: 1 })
  await request('PATCH', `/admin/users/${user.id}`, { token, body: { is_active: false } })
  const audit = async (query = '') => (await request('GET', `/admin/chatflows/audit-users${query}`, { token })).json()
  const before = await audit()
  t.match(before, { total_assignments: 3, valid_assignments: 1, invalid_assignments: 2, chatflows_affected: 1 })
  t.match(before.invalid_user_details[0], { chatflow_id: echo, chatflow_name: 'Echo', suggested_action: String })
  t.match(await audit(`?chatflow_id=${report}`), { total_assignments: 1, invalid_assignments: 0 })
  t.match(await audit('?chatflow_id=nobody'), { code: 'chatflow_not_found' })

  const clean = (body: unknown) => request('POST', '/api/v1/admin/chatflows/cleanup-users', { token, body })
  const dry = (await clean({ action: 'delete_invalid' })).json()
  t.match(dry, { total_records_processed: 3, invalid_assignments: 2, records_deleted: 0, errors: 0, dry_run: true })
  t.equal((await clean({ action: 'delete_invalid', dry_run: false })).statusCode, 422)
  t.equal((await clean({ action: 'other' })).statusCode, 422)
  t.match((await clean({ action: 'deactivate_invalid', chatflow_ids: [report], dry_run: false })).json(), {
    records_deactivated: 0
  })
  const done = (await clean({ action: 'delete_invalid', dry_run: false, force: true })).json()
  t.match(done, {
    records_deleted: 2,
    records_deactivated: 0,
    error_details: [],
    dry_run: false,
    cleanup_timestamp: /Z$/
  })
  t.match(await audit(), { total_assignments: 1, invalid_assignments: 0 })
})
