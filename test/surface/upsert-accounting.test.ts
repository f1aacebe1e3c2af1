import t from 'tap'
import { buildExternalApp } from '../routes/accounting-open.ts'

const UPSERTED = /^POST .*\/vector\/upsert\//

t.test('where another service keeps the balance, an upsert is charged there, once', async (t) => {
  const gateway = await buildExternalApp(t, { form: 'v1', credits: 2 })
  const { app, request, user, chatflowId, service, standIn, settled, until, problems, transactions } = gateway
  await app.chatflows.patch(chatflowId, { upsert_price: 1 })
  const upsert = (key: string) =>
    request('POST', `/api/v1/vector/upsert/${chatflowId}`, {
      token: user.token,
      body: {},
      headers: { 'idempotency-key': key }
    })
  standIn.next({ status: 500, body: 'no' }, UPSERTED)
  t.equal((await upsert('fails')).statusCode, 502)
  standIn.always({ body: '{"numAdded":1}' }, UPSERTED)
  for (const key of ['first', 'first', 'second'])
    t.match((await upsert(key)).json(), { numAdded: 1, credits_charged: 1 })
  t.equal((await upsert('third')).statusCode, 402)
  await settled()
  await until(() => service.usage.length === 3)
  t.equal(service.balances.get(user.id), 0)
  t.equal(service.deductions.length, 2)
  t.match((await transactions()).transactions, [
    { kind: 'charge', amount: -1, chatflow_id: chatflowId, session_id: null }
  ])
  t.same(await problems(), [])
})
