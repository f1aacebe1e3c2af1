import { createSigner } from 'fast-jwt'
import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { PASSWORD, type TestApp } from '../helper.ts'
import { EXTERNAL, fileId, LONG_CONVERSATION, PICTURE } from './proxy-database.ts'
import { gatewayOver, type Target } from './targets.ts'

type Get = (path: string) => Promise<ReturnType<JSON['parse']>>

/** Looks at an imported proxy through the API, as each of its users. */
export async function checkAsUsers(t: Test, target: Target): Promise<void> {
  const gateway = await gatewayOver(t, target)
  await checkAda(t, gateway)
  await checkOthers(t, gateway)
  await checkLogins(t, gateway)
  await gateway.app.close()
}

/** A token of the service that has the same secret. */
export function tokenOf({ config }: TestApp, id: string): string {
  const sign = createSigner({ key: config.jwt.secret ?? '', algorithm: 'HS256', expiresIn: 60_000 })
  return sign({ sub: id, type: 'access', role: 'enduser' })
}

/** Reads as this user; what is not there is its status. */
export function reader({ request }: TestApp, token: string): Get {
  return async (path) => {
    const reply = await request('GET', `/api/v1${path}`, { token })
    return reply.statusCode === 200 ? JSON.parse(reply.body) : reply.statusCode
  }
}

async function checkAda(t: Test, gateway: TestApp): Promise<void> {
  const { access_token: token } = await gateway.login('ada@example.com', PASSWORD)
  const get = reader(gateway, token)
  t.match(await get('/chatflows'), [{ id: DEMO_IDS.echo }])
  const { sessions } = await get('/chat/sessions')
  t.match(sessions, [
    { session_id: 'long', topic: 'turn 0', message_count: LONG_CONVERSATION, created_at: '2025-06-01T10:40:00.000Z' },
    {
      session_id: 'first',
      topic: 'Hello',
      message_count: 4,
      chatflow_id: DEMO_IDS.echo,
      created_at: '2025-06-01T10:10:00.000Z',
      last_activity_at: '2025-06-01T10:24:00.000Z'
    }
  ])
  t.equal(sessions.length, 2)
  const { messages } = await get('/chat/sessions/first/history')
  t.match(messages, [
    { role: 'user', content: 'Hello?', timestamp: '2025-06-01T10:19:00.000Z', status: 'complete' },
    { role: 'assistant', content: 'Grüß dich, 🙂' },
    { role: 'assistant', content: '[1,2]' },
    { role: 'user', content: '[{"event":"token","data":"as I typed it"}]' }
  ])
  t.equal(messages.length, 4)
  t.strictSame(messages[1].data, { sourceDocuments: [{ page: 1 }] })
  t.match(messages[0].files, [{ file_id: fileId(1), name: 'dot.gif', mime: 'image/gif', size: PICTURE.length }])
  t.equal(messages[0].files.length, 1, "not those of others, and none that isn't there")
  const long = await get(`/chat/sessions/long/history?limit=100`)
  t.strictSame(
    long.messages.map(({ content }: { content: string }) => content),
    Array.from({ length: 100 }, (_, n) => `turn ${n}`)
  )
  await checkFiles(t, gateway, token)

  t.match(await get('/chat/credits'), { credits_remaining: 41, credits_held: 0 })
  const body = { chatflow_id: DEMO_IDS.echo, question: 'Still there?', sessionId: 'first' }
  const reply = await gateway.request('POST', '/api/v1/chat/predict', { token, body })
  t.match(JSON.parse(reply.body), { session_id: 'first', credits_remaining: 40 })
  t.equal((await get('/chat/sessions/first/history')).count, 6)
  t.match((await get('/chat/credits/transactions')).transactions, [{ kind: 'charge' }, { kind: 'grant', amount: 41 }])
}

async function checkFiles(t: Test, { request }: TestApp, token: string): Promise<void> {
  const file = (n: number) => request('GET', `/api/v1/chat/files/${fileId(n)}`, { token })
  const picture = await file(1)
  t.equal(picture.headers['content-type'], 'image/gif')
  t.strictSame(picture.rawPayload, PICTURE)
  const page = await file(4)
  t.match(page.headers, { 'content-type': /^text\/plain/, 'content-disposition': /^attachment/ })
  for (const n of [2, 3, 5, 6]) t.equal((await file(n)).statusCode, 404)
  const list = await request('GET', '/api/v1/chat/files/session/first', { token })
  t.strictSame(JSON.parse(list.body).files.length, 2)
}

async function checkOthers(t: Test, gateway: TestApp): Promise<void> {
  const grace = reader(gateway, tokenOf(gateway, EXTERNAL.grace))
  t.match(await grace('/chat/sessions'), {
    sessions: [{ session_id: 'by:client', topic: `${'Q'.repeat(50)}...`, created_at: '2025-06-01T10:30:00.000Z' }]
  })
  t.match((await grace('/chat/sessions/by:client/history')).messages, [{ role: 'user' }, { content: 'Built' }])
  t.match(await grace('/chatflows'), [{ id: DEMO_IDS.echo, assigned_at: '2025-06-01T10:03:00.000Z' }])
  t.match(await grace('/chat/credits'), { credits_remaining: 2.5 })

  const twin = reader(gateway, tokenOf(gateway, EXTERNAL.twin))
  t.equal(await twin('/chat/sessions/first/history'), 404)
  t.match(await twin('/chat/sessions'), { count: 0 })
  t.strictSame(await twin('/chatflows'), [], 'an equal address gives nothing')
  t.match(await twin('/chat/credits'), { credits_remaining: 0 })
  t.equal(await twin('/admin/users'), 403)
  t.equal(await reader(gateway, tokenOf(gateway, EXTERNAL.disabled))('/chatflows'), 401)
}

async function checkLogins(t: Test, gateway: TestApp): Promise<void> {
  t.ok((await gateway.login('local', PASSWORD)).access_token)
  const refused = async (username: string, password: string) => {
    const body = { username, password }
    return JSON.parse((await gateway.request('POST', '/api/v1/chat/authenticate', { body })).body).code
  }
  t.equal(await refused('disabled', PASSWORD), 'user_disabled')
  t.equal(await refused('ada-old', PASSWORD), 'invalid_credentials')
  t.equal(await refused('grace', PASSWORD), 'invalid_credentials')
  t.equal(await refused('a', 'in the clear'), 'invalid_credentials')
  const users = await reader(gateway, gateway.admin.token)('/admin/users')
  const byId = (id: string) => users.users.find((user: { id: string }) => user.id === id)
  t.match(byId(EXTERNAL.ada), { username: 'ada', email: 'ada@example.com', role: 'user', external_id: EXTERNAL.ada })
  t.match(byId(EXTERNAL.grace), { username: 'grace', email: 'grace@example.com', role: 'user' })
  t.match(byId(EXTERNAL.twin), { username: 'twin', email: null })
  t.match(byId(EXTERNAL.root), { username: null, email: 'root@example.com', role: 'admin' })
  t.match(byId(EXTERNAL.broken), { username: 'a', email: null, is_active: true })
}
