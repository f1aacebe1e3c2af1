import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { outcome } from '../auth/external-app.ts'
import { buildExternalApp } from './accounting-open.ts'

const flow = `/api/v1/admin/chatflows/${DEMO_IDS.echo}`

t.test('with a balance kept elsewhere prices are flat and whole', async (t) => {
  const { request, admin } = await buildExternalApp(t)
  const { token } = admin
  const patch = (body: unknown) => request('PATCH', flow, { token, body })
  t.match((await patch({ price: 2, metered: null })).json(), { price: 2, metered: null })
  t.strictSame(outcome(await patch({ price: 2.5 })), [422, 'validation_error'])
  const metered = { per_1k_tokens: 1, floor: 1, ceiling: 5 }
  t.match((await patch({ metered })).json(), { status: 422, errors: [{ loc: ['body', 'metered'] }] })
  t.match((await request('GET', flow, { token })).json(), { price: 2, metered: null })
})

t.test('credits are given there, accounts are frozen here', async (t) => {
  const { request, admin, user, predict } = await buildExternalApp(t)
  const { token } = admin
  const credits = `/api/v1/admin/users/${user.id}/credits`
  for (const action of ['allocate', 'adjust', 'set']) {
    const body = { amount: 5, note: 'n', idempotency_key: action }
    t.strictSame(outcome(await request('POST', `${credits}/${action}`, { token, body })), [409, 'managed_externally'])
  }
  const freeze = (frozen: boolean) => request('PUT', `${credits}/frozen`, { token, body: { frozen } })
  t.match((await freeze(true)).json(), { frozen: true })
  t.equal((await freeze(true)).statusCode, 200)
  t.strictSame(outcome(await predict()), [403, 'account_frozen'])
  await freeze(false)
  t.equal((await predict()).statusCode, 200)
  const { entries } = (await request('GET', `/admin/audit?target=${user.id}&action=credits.freeze`, { token })).json()
  t.match(entries, [{ after: { frozen: false } }, { after: { frozen: true } }])
  t.equal(entries.length, 2, 'what changed nothing has no entry')
})
