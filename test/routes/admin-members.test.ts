import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { ChatflowRow, UserRow } from '../../src/store/collections.ts'
import { operationsOf } from '../gates/operations.ts'
import { buildTestApp, PASSWORD } from '../helper.ts'

const { echo } = DEMO_IDS

/** Members of rows and tokens that no body may set, in both spellings. */
const COVETED = {
  id: 'chosen',
  user_id: 'chosen',
  userId: 'chosen',
  username: 'chosen-name',
  role: 'admin',
  isAdmin: true,
  is_admin: true,
  isActive: true,
  origin: 'token',
  external_id: 'chosen',
  externalId: 'chosen',
  passwordHash: '$2b$04$chosen',
  password_hash: '$2b$04$chosen',
  tokensValidFromAt: 0,
  deletedAt: 1,
  createdAt: 1,
  created_at: '1970-01-01T00:00:00.000Z',
  available: 1_000_000_000,
  credits_remaining: 1_000,
  held: 0,
  status: 'active',
  sync_status: 'active',
  assigned_by: 'chosen',
  assignedBy: 'chosen'
}

/** What /v1 wants beside it, where a body that is not right is 400. */
const completion = { model: 'nobody', messages: [{ role: 'user', content: 'hi' }] }

t.test('what a user sends never changes who they are or what they have', async (t) => {
  const { app, request, createUser } = await buildTestApp(t, { env: { RATE_LIMIT_PER_MINUTE: '0' } })
  const user = await createUser({ credits: 100, grants: [echo] })
  const before = await app.users.findById(user.id)
  const balance = (await app.ledger.account(user.id))?.available
  const document = (await request('GET', '/openapi.json')).json()
  // These two do what they are for, with the token and the history of the caller.
  const own = ['/api/v1/chat/history', '/api/v1/chat/revoke']
  const operations = operationsOf(document).filter(({ method, path }) => method !== 'GET' && !own.includes(path))
  t.ok(operations.length > 25)
  const { role: _, ...coveted } = COVETED
  for (const { method, path } of operations) {
    const url = path
      .replace('{chatflow_id}', 'nobody')
      .replace('{id}', user.id)
      .replaceAll(/\{\w+\}/g, 'x')
    const body = { ...coveted, role: 'admin', chatflow_id: 'nobody', question: 'hi', ...completion }
    const { statusCode } = await request(method, url, { token: user.token, body })
    t.notOk([400, 401].includes(statusCode), `${method} ${path} reads the body`)
  }
  t.strictSame(await app.users.findById(user.id), before)
  t.equal((await app.ledger.account(user.id))?.available, balance)
  t.match((await request('GET', '/admin/users', { token: user.token })).json(), { code: 'role_required' })
})

t.test('a prediction is of its caller, whoever the body says', async (t) => {
  const { request, createUser, app } = await buildTestApp(t)
  const [user, victim] = [await createUser({ credits: 5, grants: [echo] }), await createUser({ credits: 5 })]
  const body = { ...COVETED, chatflow_id: echo, question: 'hi', sessionId: 's1', user_id: victim.id, userId: victim.id }
  t.match((await request('POST', '/chat/predict', { token: user.token, body })).json(), { credits_remaining: 4 })
  t.equal((await app.ledger.account(victim.id))?.available, 5_000_000)
  t.match(await app.store.collection('sessions').get('s1'), { userId: user.id })
})

t.test('an administrator sets the members of the form and no others', async (t) => {
  const { app, request, admin } = await buildTestApp(t)
  const { token } = admin
  const { role: _, username: __, ...coveted } = COVETED
  const form = { username: 'alice', email: 'alice@example.com', password: PASSWORD }
  const made = await request('POST', '/admin/users', { token, body: { ...coveted, ...form } })
  t.equal(made.statusCode, 201)
  const { id } = made.json()
  t.not(id, 'chosen')
  const row = await app.store.collection<UserRow>('users').get(id)
  t.match(row, { username: 'alice', role: 'user', origin: 'local', externalId: null, isActive: true })
  t.ok((row?.createdAt ?? 0) > 1)
  t.notOk(row?.deletedAt)
  t.not(row?.passwordHash, COVETED.passwordHash)

  const { role: ___, ...patch } = COVETED
  t.equal((await request('PATCH', `/admin/users/${id}`, { token, body: patch })).statusCode, 200)
  t.strictSame(await app.store.collection<UserRow>('users').get(id), row, 'nothing of it is a member of the form')

  const chatflows = app.store.collection<ChatflowRow>('chatflows')
  const flow = await chatflows.get(echo)
  const settings = { ...COVETED, name: 'chosen', isPublic: true, deployed: false, priceMicro: 1, flowData: '{}' }
  t.equal((await request('PATCH', `/admin/chatflows/${echo}`, { token, body: settings })).statusCode, 200)
  t.strictSame(await chatflows.get(echo), flow)

  const { user_id: ____, username: _____, ...others } = COVETED
  const granted = await request('POST', `/admin/chatflows/${echo}/users`, {
    token,
    body: { ...others, email: form.email }
  })
  t.match(granted.json(), { user_id: id, status: 'Assigned' })
  t.match(await app.permissions.find({ userId: id, chatflowId: echo }), { assignedBy: admin.id })
})
