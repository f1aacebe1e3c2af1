import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { openSurface } from './open.ts'

const { echo, report } = DEMO_IDS
const FEEDBACK = `/api/v1/feedback/${echo}`
const POSTED = /^POST .*\/feedback\//
const PUT = /^PUT .*\/feedback\//

t.test('a rating is kept once for each answer, and Flowise is told under its own ids', async (t) => {
  const { request, user, ask, standIn, seen, json, app } = await openSurface(t)
  standIn.always(json({ id: 'theirs' }), POSTED)
  standIn.always(json({ status: 'OK' }), PUT)
  const messageId = await ask(user.token, 'cust+1')
  const rate = (body: object) =>
    request('POST', FEEDBACK, { token: user.token, body: { chatId: 'cust+1', messageId, ...body } })
  const first = await rate({ chatflowid: echo, rating: 'THUMBS_UP', content: '' })
  t.equal(first.statusCode, 200, first.body)
  const { id, createdDate, ...rest } = first.json()
  t.match(createdDate, /^\d{4}-\d\d-\d\dT/)
  t.same(rest, { chatflowid: echo, chatId: 'cust+1', messageId, rating: 'THUMBS_UP', content: null })
  await standIn.waitFor(({ method, url, isAnswered }) => POSTED.test(`${method} ${url}`) && isAnswered)

  const second = await rate({ rating: 'THUMBS_DOWN' })
  t.equal(second.json().id, id, 'the same rating, changed')
  const body = { content: 'wrong number' }
  const changed = await request('PUT', `/api/v1/feedback/${id}`, { token: user.token, body })
  t.same([changed.statusCode, changed.json()], [200, { status: 'OK' }])
  const isLast = ({ body }: { body: unknown }) => Object(body).content === 'wrong number'
  await standIn.waitFor(isLast)

  const [posted, ...more] = seen(POSTED)
  t.equal(more.length, 0, 'Flowise has one rating too')
  t.not(Object(posted?.body).messageId, messageId)
  t.same(Object.keys(Object(posted?.body)).toSorted(), ['chatflowid', 'content', 'messageId', 'rating'])
  t.ok(
    seen(PUT).every(({ url }) => url.endsWith('/feedback/theirs')),
    'changed where it is'
  )
  t.equal(await app.store.collection('feedback').count({}), 1)
})

t.test('nobody rates or changes what is not of their own chat', async (t) => {
  const { request, user, other, visitor, ask, admin } = await openSurface(t)
  const alice = await visitor('alice')
  const bob = await visitor('bob')
  const own = await ask(user.token, 'own')
  const answer = await ask(alice, 'chat')
  const rate = (token: string, body: object, url = FEEDBACK) =>
    request('POST', url, { token, body: { rating: 'THUMBS_UP', ...body } })
  const status = async (...call: Parameters<typeof rate>) => (await rate(...call)).statusCode

  t.equal(await status(other.token, { messageId: own, chatId: 'own' }), 404)
  t.equal(await status(other.token, { messageId: own }), 404)
  t.equal(await status(user.token, { messageId: own, chatId: 'another' }), 404)
  t.equal(await status(user.token, { messageId: own }, `/api/v1/feedback/${report}`), 404)
  t.equal(await status(bob, { messageId: answer, chatId: 'chat' }), 404, "another visitor's")
  t.equal(await status(alice, { messageId: answer }), 404, 'a visitor names the chat')
  t.equal(await status(alice, { messageId: own, chatId: 'own' }), 404, "the page's own")
  t.equal(await status(other.token, { messageId: own }, `/api/v1/feedback/${report}`), 403)
  t.equal(await status(alice, { messageId: answer, chatId: 'chat' }, `/api/v1/feedback/${report}`), 403)
  t.equal(await status(user.token, { messageId: own, chatId: 'own', rating: 'LIKE' }), 422)
  t.equal(await status(user.token, { messageId: own, chatId: 'own', content: 'x'.repeat(5001) }), 422)

  const { id } = (await rate(alice, { messageId: answer, chatId: 'chat' })).json()
  const change = async (token: string) =>
    (await request('PUT', `/api/v1/feedback/${id}`, { token, body: { content: 'changed' } })).statusCode
  t.same(
    [await change(bob), await change(user.token), await change(other.token), await change(admin.token)],
    [404, 404, 404, 404]
  )
  t.equal(await change(alice), 200)
  for (const url of [FEEDBACK, `/api/v1/feedback/${id}`])
    t.equal((await request('GET', url, { token: user.token })).statusCode, 404, 'and nobody lists them')
})

t.test('administrators read the ratings, page by page and as a table', async (t) => {
  const { request, user, admin, ask, app } = await openSurface(t)
  for (const chatId of ['one', 'two', 'three']) {
    const body = { chatId, messageId: await ask(user.token, chatId), rating: 'THUMBS_UP', content: `=${chatId}` }
    await request('POST', FEEDBACK, { token: user.token, body })
  }
  const url = `/api/v1/admin/chatflows/${echo}/feedback`
  const list = (query = '', headers = {}) => request('GET', `${url}${query}`, { token: admin.token, headers })
  const first = (await list('?limit=2')).json()
  t.equal(first.count, 2)
  t.same(Object.keys(first.feedback[0]).length, 9)
  const rest = (await list(`?limit=2&cursor=${first.next_cursor}`)).json()
  const contents: string[] = [...first.feedback, ...rest.feedback].map(({ content }) => content)
  t.same(contents.toSorted(), ['=one', '=three', '=two'])
  t.equal(rest.next_cursor, null)
  const table = await list('', { accept: 'text/csv' })
  t.match(table.headers['content-type'], 'text/csv')
  t.equal(table.body.split('\r\n').length, 5)
  t.match(table.body, /"'=one"/, 'no formula')
  t.equal((await request('GET', url, { token: user.token })).statusCode, 403)
  t.equal((await request('GET', '/api/v1/admin/chatflows/nothing/feedback', { token: admin.token })).statusCode, 404)

  await request('DELETE', '/api/v1/chat/sessions/one', { token: user.token })
  t.equal(await app.store.collection('feedback').count({}), 2, 'a rating goes with its conversation')
  await request('POST', '/api/v1/leads', { token: user.token, body: { chatflowid: echo, chatId: 'next', name: 'Ada' } })
  await request('DELETE', `/api/v1/admin/users/${user.id}`, { token: admin.token })
  const left = ['feedback', 'prepared_chats', 'leads'].map((name) => app.store.collection(name).count({}))
  t.same(await Promise.all(left), [0, 0, 1], 'and with its user; leads are records of the operator')
})

t.test('a Flowise that is away or confused does not matter', async (t) => {
  const { request, user, ask, standIn, app } = await openSurface(t)
  const messageId = await ask(user.token, 'chat')
  const body = { chatId: 'chat', messageId, rating: 'THUMBS_UP' }
  for (const fault of [{ status: 500, body: 'no' }, { body: '<html>' }, { refuse: true }, { hang: true }]) {
    standIn.next(fault, POSTED)
    t.equal((await request('POST', FEEDBACK, { token: user.token, body })).statusCode, 200)
  }
  t.equal(await app.store.collection('feedback').count({}), 1)
})

t.test('too much of it is refused', async (t) => {
  const { request, user, ask } = await openSurface(t)
  const messageId = await ask(user.token, 'chat')
  const body = { chatId: 'chat', messageId, rating: 'THUMBS_UP' }
  const codes = new Set<number>()
  for (let tries = 0; tries < 62; tries++)
    codes.add((await request('POST', FEEDBACK, { token: user.token, body })).statusCode)
  t.same([...codes], [200, 429])
})
