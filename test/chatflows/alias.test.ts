import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'

const { echo, report } = DEMO_IDS

t.test('a chatflow may have an alias of its own, and loses it', async (t) => {
  const { request, admin, app } = await buildTestApp(t)
  const set = (id: string, body: object) =>
    request('PATCH', `/api/v1/admin/chatflows/${id}`, { token: admin.token, body })
  t.match((await set(echo, { alias: 'support-1.0' })).json(), { id: echo, alias: 'support-1.0' })
  t.equal((await app.chatflows.named('support-1.0'))?.id, echo)
  t.equal((await app.chatflows.named(echo))?.id, echo, 'the id stays')
  t.equal(await app.chatflows.named('support'), undefined)

  const taken = await set(report, { alias: 'support-1.0', price: 7 })
  t.match(taken.json(), { status: 409, code: 'already_exists', detail: /alias/ })
  t.equal((await app.chatflows.get(report))?.priceMicro, undefined, 'nothing of it is done')
  t.equal((await set(echo, { alias: 'support-1.0' })).statusCode, 200, 'its own alias again')

  t.match((await set(echo, { alias: null })).json(), { alias: null })
  t.match((await set(report, { alias: 'support-1.0' })).json(), { id: report, alias: 'support-1.0' })
  const audit = await request('GET', `/api/v1/admin/audit?target=${report}`, { token: admin.token })
  t.match(audit.body, '"alias":"support-1.0"', 'who did it is in the audit trail')
})

t.test('of two administrators who give an alias at the same time one is told', async (t) => {
  const { request, admin } = await buildTestApp(t)
  const replies = await Promise.all(
    [echo, report].map((id) =>
      request('PATCH', `/api/v1/admin/chatflows/${id}`, { token: admin.token, body: { alias: 'one' } })
    )
  )
  t.strictSame(
    replies.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b),
    [200, 409]
  )
})

t.test('an alias cannot be taken for something else', async (t) => {
  const { request, admin } = await buildTestApp(t)
  const wrong = ['', 'A', 'ä', '-a', '.', '..', 'a b', 'a/b', 'a'.repeat(65), report, `${report.slice(0, 14)}x`]
  for (const alias of wrong) {
    const reply = await request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body: { alias } })
    t.match(reply.json(), { status: 422, code: 'validation_error' }, alias)
  }
})
