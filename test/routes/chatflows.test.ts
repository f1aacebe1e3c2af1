import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { FAULTS } from '../stand-in/flowise.ts'

const LISTING = /^GET .*\/chatflows(\?|$)/
const { echo, report } = DEMO_IDS

t.test('a user sees the granted active chatflows, an administrator all, and never a definition', async (t) => {
  const { request, createUser, admin, standIn } = await buildTestApp(t)
  const nobody = await createUser()
  t.strictSame((await request('GET', '/chatflows', { token: nobody.token })).json(), [])
  const user = await createUser({ grants: [echo, report] })
  const shown = await request('GET', '/api/v1/chatflows', { token: user.token })
  t.strictSame(
    shown.json().map((row: { id: string }) => row.id),
    [echo, report]
  )
  const [first] = shown.json()
  t.strictSame(Object.keys(first).sort(), [
    'assigned_at',
    'category',
    'created_at',
    'deployed',
    'description',
    'id',
    'is_public',
    'name',
    'price',
    'type',
    'updated_at'
  ])
  t.match(first, { name: 'Echo', price: 1, assigned_at: /^\d{4}-.*Z$/ })
  const all = await request('GET', '/api/v1/chatflows', { token: admin.token })
  t.equal(all.json().length, Object.keys(DEMO_IDS).length)
  t.equal(all.json()[0].assigned_at, null)
  t.notMatch(all.body, /flowData|nodes/i)

  standIn.always({ body: JSON.stringify([{ id: report, name: 'Report' }]) }, LISTING)
  await request('POST', '/api/v1/admin/chatflows/sync', { token: admin.token })
  t.match((await request('GET', '/api/v1/chatflows', { token: user.token })).json(), [{ id: report }])
  t.equal((await request('GET', '/api/v1/chatflows', { token: admin.token })).json().length, 1)
})

t.test('bare arrays are paged by the Link header', async (t) => {
  const { request, admin } = await buildTestApp(t)
  const seen: string[] = []
  let url: string | undefined = '/chatflows?limit=2'
  while (url) {
    const reply = await request('GET', url, { token: admin.token })
    seen.push(...reply.json().map((row: { id: string }) => row.id))
    const link = reply.headers.link
    url = typeof link === 'string' ? /^<([^>]+)>; rel="next"$/.exec(link)?.[1] : undefined
  }
  t.strictSame(seen, Object.values(DEMO_IDS).sort())
  for (const query of ['limit=0', 'limit=1001', 'cursor=abc', 'cursor=WzEsImEiXQ'])
    t.equal((await request('GET', `/chatflows?${query}`, { token: admin.token })).statusCode, 422, query)
})

t.test('the same permission on every route: 404 unknown, 403 without grant, at once after removal', async (t) => {
  const { request, createUser, admin } = await buildTestApp(t)
  const user = await createUser({ grants: [echo] })
  const get = async (url: string, token = user.token) => {
    const reply = await request('GET', url, { token })
    return [reply.statusCode, reply.json().code]
  }
  for (const tail of ['', '/config']) {
    t.strictSame(await get(`/api/v1/chatflows/${echo}${tail}`), [200, undefined])
    t.strictSame(await get(`/api/v1/chatflows/${report}${tail}`), [403, 'chatflow_forbidden'])
    t.strictSame(await get(`/api/v1/chatflows/nobody${tail}`), [404, 'chatflow_not_found'])
    t.strictSame(await get(`/api/v1/chatflows/%00${'x'.repeat(500)}${tail}`), [404, 'chatflow_not_found'])
    t.strictSame(await get(`/api/v1/chatflows/${report}${tail}`, admin.token), [200, undefined])
  }
  await request('DELETE', `/admin/chatflows/${echo}/users/${user.id}`, { token: admin.token })
  t.strictSame(await get(`/api/v1/chatflows/${echo}`), [403, 'chatflow_forbidden'])
  t.equal((await request('GET', '/chatflows')).statusCode, 401)
})

t.test('the configuration is reduced, and its absence is an empty object', async (t) => {
  const { request, createUser, standIn } = await buildTestApp(t)
  const user = await createUser({ grants: [echo] })
  const url = `/chatflows/${echo}/config`
  const config = { title: 'T', flowData: '{"nodes":[]}', followUpPrompts: { status: true, prompt: 'p' }, rateLimit: 1 }
  standIn.next({ body: JSON.stringify(config) }, /public-chatbotConfig/)
  const reduced = await request('GET', url, { token: user.token })
  t.strictSame(reduced.json(), { title: 'T', followUpPrompts: { status: true } })
  standIn.next({ headers: { 'content-type': 'text/html' }, body: 'OK' }, /public-chatbotConfig/)
  t.strictSame((await request('GET', url, { token: user.token })).json(), {})
  standIn.next(FAULTS.html, /public-chatbotConfig/)
  t.match(await request('GET', url, { token: user.token }), { statusCode: 502 })
  await standIn.close()
  t.match(await request('GET', url, { token: user.token }), { statusCode: 503 })
})
