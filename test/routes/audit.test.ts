import t from 'tap'
import { csvCell } from '../../src/csv.ts'
import { createAuditLog, withoutSecrets } from '../../src/admin/audit.ts'
import { authParts } from '../auth/parts.ts'
import { buildTestApp } from '../helper.ts'

const AUDIT = '/api/v1/admin/audit'

async function setUp(t: Parameters<typeof buildTestApp>[0]) {
  const test = await buildTestApp(t)
  const one = await test.createUser()
  const two = await test.createUser()
  const ask = (query: string, accept?: string) =>
    test.request('GET', `${AUDIT}?${query}`, {
      token: test.admin.token,
      headers: accept === undefined ? {} : { accept }
    })
  return { ...test, one, two, ask }
}

t.test('entries name actor, action, target and request, newest first', async (t) => {
  const { ask, admin, one, two } = await setUp(t)
  const page = (await ask('')).json()
  t.match(page, { count: 2, next_cursor: null })
  t.strictSame(
    page.entries.map(({ target }: { target: string }) => target),
    [two.id, one.id]
  )
  t.match(page.entries[0], {
    id: String,
    actor_id: admin.id,
    action: 'user.create',
    before: null,
    request_id: String,
    created_at: /Z$/
  })
})

t.test('entries are filtered and paged', async (t) => {
  const { ask, one, admin } = await setUp(t)
  t.equal((await ask(`target=${one.id}`)).json().count, 1)
  t.equal((await ask(`actor=${admin.id}&action=user.create`)).json().count, 2)
  t.equal((await ask('action=user.delete')).json().count, 0)
  t.equal((await ask('actor=nobody')).json().count, 0)
  const first = (await ask('limit=1')).json()
  const second = (await ask(`limit=1&cursor=${first.next_cursor}`)).json()
  t.not(first.entries[0].id, second.entries[0].id)
  t.equal(second.next_cursor, null)
  t.equal((await ask('cursor=nonsense')).statusCode, 422)
})

t.test('the export is a table of all that match', async (t) => {
  const { ask, one } = await setUp(t)
  const reply = await ask('limit=1', 'text/csv')
  t.equal(reply.statusCode, 200)
  t.match(reply.headers, { 'content-type': /^text\/csv/, 'content-disposition': /attachment/ })
  const lines = reply.body.split('\r\n')
  t.equal(lines[0], 'id,created_at,actor_id,action,target,before,after,request_id')
  t.equal(lines.length, 4, 'header, two entries, end')
  t.match((await ask(`target=${one.id}`, 'text/csv')).body, /"user\.create","[^"]+","","\{""id"":/)
})

t.test('the export starts behind a cursor, as a page does', async (t) => {
  const { ask } = await setUp(t)
  const { next_cursor: cursor } = (await ask('limit=1')).json()
  t.equal((await ask(`cursor=${cursor}`, 'text/csv')).body.split('\r\n').length, 3, 'header, one entry, end')
  t.equal((await ask('cursor=nonsense', 'text/csv')).statusCode, 422)
})

t.test('the table is for those who name it and do not prefer JSON', async (t) => {
  const { ask } = await setUp(t)
  for (const accept of ['text/csv, */*;q=0.1', 'text/csv, application/json', 'text/csv;q=0.9, application/json;q=0.8'])
    t.match((await ask('', accept)).headers['content-type'], /^text\/csv/, accept)
  for (const accept of ['*/*', 'text/csv;q=0, application/json', 'application/json, text/csv;q=0.5'])
    t.match((await ask('', accept)).headers['content-type'], /^application\/json/, accept)
})

t.test('only administrators read the audit', async (t) => {
  const { request, one } = await setUp(t)
  for (const accept of ['application/json', 'text/csv']) {
    t.equal((await request('GET', AUDIT, { token: one.token, headers: { accept } })).statusCode, 403)
    t.equal((await request('GET', AUDIT, { headers: { accept } })).statusCode, 401)
  }
})

t.test('a long audit is exported whole', async (t) => {
  const { store, clock, ids } = authParts(t)
  const log = createAuditLog({ store, clock, ids })
  const entry = { actorId: 'a', requestId: 'r', action: 'user.update', target: 'u', before: null, after: null }
  await Promise.all(Array.from({ length: 1001 }, () => log.record(entry)))
  const seen = new Set<string>()
  for await (const { id } of log.all({})) seen.add(id)
  t.equal(seen.size, 1001)
})

t.test('a repeated change with a key is one entry', async (t) => {
  const { store, clock, ids } = authParts(t)
  const log = createAuditLog({ store, clock, ids })
  const entry = {
    actorId: 'a',
    requestId: 'r',
    action: 'credits.set',
    target: 'u',
    before: null,
    after: null,
    key: 'k'
  }
  await log.record(entry)
  await log.record(entry)
  await log.record({ ...entry, target: 'v' })
  t.equal((await log.list({}, { limit: 10 })).length, 2)
})

t.test('members named like secrets are left out at any depth', async (t) => {
  const record = {
    password: 1,
    passwordHash: 1,
    new_password: 1,
    apiKey: 1,
    api_key: 1,
    token: 1,
    refresh_token: 1,
    clientSecret: 1,
    email: 'a@b.c',
    nested: { accessToken: 1, authorization: 1, kept: true },
    metered: { per_1k_tokens: 2 },
    list: [1, 2]
  }
  t.strictSame(withoutSecrets(record), {
    email: 'a@b.c',
    nested: { kept: true },
    metered: { per_1k_tokens: 2 },
    list: [1, 2]
  })
  t.equal(withoutSecrets(null), null)
})

t.test('cells are quoted, and formulas are defused', async (t) => {
  t.equal(csvCell('plain'), '"plain"')
  t.equal(csvCell('say "hi",\r\nbye'), '"say ""hi"",\r\nbye"')
  for (const formula of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1'])
    t.equal(csvCell(formula), `"'${formula}"`, JSON.stringify(formula))
  t.equal(csvCell(null), '""')
  t.equal(csvCell({ a: 1 }), '"{""a"":1}"')
})
