import t from 'tap'
import { verifyLedger } from '../../src/credits/verify.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { collections } from '../../src/store/collections.ts'
import { buildTestApp, type TestApp } from '../helper.ts'

const { echo } = DEMO_IDS
/** What stays of a deleted user: the tombstone, and what money and administration did. */
const KEPT = new Set(['users', 'accounts', 'ledger_entries', 'requests', 'audit_entries', 'revoked_tokens'])

/** The collections in which something still names the user. */
async function traces({ app }: TestApp, userId: string): Promise<string[]> {
  const found = await Promise.all(
    collections.map(async ({ name }) => {
      const rows = await app.store.collection(name).list({ limit: 1000 })
      return rows.some((row) => JSON.stringify(row).includes(userId)) ? [name] : []
    })
  )
  return found.flat()
}

t.test('of a deleted user only the tombstone, the books and the audit stay', async (t) => {
  const gateway = await buildTestApp(t)
  const { app, request, admin, createUser } = gateway
  const user = await createUser({ credits: 10, grants: [echo] })
  const bystander = await createUser({ credits: 10, grants: [echo] })
  const asks = [user, bystander].map(({ token, username }) =>
    request('POST', '/chat/predict', {
      token,
      body: {
        chatflow_id: echo,
        question: 'mine',
        sessionId: `of-${username}`,
        uploads: [{ type: 'file', name: 'a.txt', mime: 'text/plain', data: 'bWluZQ==' }]
      }
    })
  )
  for (const reply of await Promise.all(asks)) t.equal(reply.statusCode, 200)
  t.ok((await traces(gateway, user.id)).length > KEPT.size, 'there is something to delete')

  t.equal((await request('DELETE', `/admin/users/${user.id}`, { token: admin.token })).statusCode, 200)
  t.strictSame(
    (await traces(gateway, user.id)).filter((name) => !KEPT.has(name)),
    []
  )
  const tombstone = await app.store.collection('users').get(user.id)
  t.match(tombstone, { username: null, isActive: false, deletedAt: Number })
  t.notMatch(JSON.stringify(tombstone), user.email, 'without their names')
  t.equal((await app.ledger.account(user.id))?.available, 9_000_000)
  t.match((await request('GET', '/chat/sessions', { token: user.token })).json(), { code: 'user_disabled' })

  const history = await request('GET', `/chat/sessions/of-${bystander.username}/history`, { token: bystander.token })
  t.match(history.json(), { count: 2 }, 'nobody else lost anything')
  t.match(history.json().messages[0].files, [{ name: 'a.txt' }])
})

t.test('a prediction that runs meanwhile is settled once, and leaves no session', async (t) => {
  const gateway = await buildTestApp(t)
  const { app, request, admin, createUser, standIn } = gateway
  const user = await createUser({ credits: 10, grants: [echo] })
  standIn.next({ gates: { body: 'wait' } })
  const body = { chatflow_id: echo, question: 'long', sessionId: 'running' }
  const running = request('POST', '/chat/predict', { token: user.token, body })
  await standIn.gate('wait').reached
  t.equal((await request('DELETE', `/admin/users/${user.id}`, { token: admin.token })).statusCode, 200)
  standIn.gate('wait').open()
  await running
  await app.lifecycle.beginDrain()
  const account = await app.ledger.account(user.id)
  t.match(account, { held: 0, holdCount: 0 })
  t.strictSame(
    (await traces(gateway, user.id)).filter((name) => !KEPT.has(name)),
    []
  )
  t.match(await verifyLedger(app.store), { problems: [] })
})
