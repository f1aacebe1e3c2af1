import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { openSurface } from './open.ts'

const { echo, report } = DEMO_IDS
const LEADS = /^POST .*\/leads$/

t.test('a lead is kept, and Flowise is told under the chat id that the conversation will have', async (t) => {
  const { request, user, ask, lastAsked, standIn, admin } = await openSurface(t)
  const body = { chatflowid: echo, chatId: 'form', name: ' Ada ', email: 'ada@example.com', phone: '' }
  // With the slash, as the widget sends it.
  const reply = await request('POST', '/api/v1/leads/', { token: user.token, body })
  t.equal(reply.statusCode, 200, reply.body)
  const { id, createdDate, ...rest } = reply.json()
  t.match(createdDate, /^\d{4}-/)
  t.same(rest, { chatflowid: echo, chatId: 'form', name: 'Ada', email: 'ada@example.com' })
  const told = await standIn.waitFor(({ method, url }) => LEADS.test(`${method} ${url}`))
  t.match(told.body, { chatflowid: echo, name: 'Ada', email: 'ada@example.com' })
  t.not(Object(told.body).chatId, 'form')
  const listed = (await request('GET', '/api/v1/chat/sessions', { token: user.token })).json()
  t.same(listed.sessions, [], 'no conversation has begun')

  await ask(user.token, 'form')
  t.equal(lastAsked().chatId, Object(told.body).chatId)

  const url = `/api/v1/admin/chatflows/${echo}/leads`
  const { leads } = (await request('GET', url, { token: admin.token })).json()
  t.match(leads, [{ id, name: 'Ada', phone: null, session_id: 'form', user_id: user.id, visitor_id: null }])
  const table = await request('GET', url, { token: admin.token, headers: { accept: 'text/csv' } })
  t.match(table.body, '"Ada","ada@example.com"')
  t.equal((await request('GET', `/api/v1/leads/${echo}`, { token: user.token })).statusCode, 404)
  t.equal((await request('GET', url, { token: user.token })).statusCode, 403)
})

t.test('what is no lead of theirs is refused, and leaves nothing', async (t) => {
  const { request, user, other, visitor, ask, app } = await openSurface(t)
  const alice = await visitor('alice')
  await ask(user.token, 'mine')
  const send = async (token: string, body: object) =>
    (await request('POST', '/api/v1/leads', { token, body: { chatflowid: echo, ...body } })).statusCode
  t.equal(await send(user.token, { email: 'no address' }), 422)
  t.equal(await send(user.token, { name: 'x'.repeat(201) }), 422)
  t.equal(await send(user.token, { phone: '1'.repeat(51) }), 422)
  t.equal(await send(user.token, { chatflowid: '' }), 422)
  t.equal(await send(other.token, { chatflowid: report }), 403)
  t.equal(await send(alice, { chatflowid: report }), 403)
  t.equal((await request('POST', '/api/v1/leads', { body: { chatflowid: echo } })).statusCode, 401)
  t.equal(await app.store.collection('leads').count({}), 0)
  t.equal(await send(alice, { chatId: 'mine', name: 'Alice' }), 200, 'a visitor has chats of their own')
  t.equal(await send(other.token, { chatId: 'mine' }), 200, 'and so has everybody else')
})

t.test('Flowise may be away; a flood is refused', async (t) => {
  const { request, user, standIn } = await openSurface(t)
  standIn.always({ refuse: true }, LEADS)
  const codes: number[] = []
  for (let tries = 0; tries < 11; tries++)
    codes.push((await request('POST', '/api/v1/leads', { token: user.token, body: { chatflowid: echo } })).statusCode)
  t.same(codes, [...Array(10).fill(200), 429])
})
