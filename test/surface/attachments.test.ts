import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { FAULTS } from '../stand-in/flowise.ts'
import { openSurface } from './open.ts'
import { type FormPart, formOf } from './form.ts'

const { echo, report, research } = DEMO_IDS
const ATTACHED = /^POST .*\/attachments\//
const TEXT: FormPart = { name: 'files', filename: 'notes ü.txt', type: 'text/plain', content: 'hello file\nline2' }

async function start(t: Parameters<typeof openSurface>[0], env: Record<string, string> = {}) {
  const surface = await openSurface(t, env)
  const { standIn, json, request } = surface
  const configure = (fullFileUpload: object, id = '') =>
    standIn.always(json({ fullFileUpload }), new RegExp(`^GET .*/public-chatbotConfig/${id}`))
  const answer = [{ name: 'sanitised.txt', mimeType: 'text/plain', size: 16, content: 'hello file\nline2' }]
  configure({ status: true, allowedUploadFileTypes: 'text/plain, application/pdf' })
  standIn.always(json(answer), ATTACHED)
  const attach = (token: string, chatId: string, parts: FormPart[] = [TEXT], chatflowId: string = echo) => {
    const { body, headers } = formOf(parts)
    return request('POST', `/api/v1/attachments/${chatflowId}/${chatId}`, { token, body, headers })
  }
  return { ...surface, configure, attach }
}

t.test('a document comes back as text, in the chat that the next question is asked in', async (t) => {
  const { attach, user, ask, lastAsked, seen, request, app } = await start(t)
  const form = formOf([TEXT, { name: 'chatId', content: 'cust+1' }])
  const reply = await request('POST', `/api/v1/attachments/${echo}/cust+1`, { token: user.token, ...form })
  t.equal(reply.statusCode, 200, reply.body)
  t.same(reply.json(), [{ name: 'notes ü.txt', mimeType: 'text/plain', size: 16, content: 'hello file\nline2' }])
  const [call] = seen(ATTACHED)
  const upstream = call?.url.split('/').at(-1)
  t.notMatch(call?.url, 'cust')
  t.match(call?.body, 'hello file')
  t.match(call?.body, 'name="files"; filename="notes ü.txt"')
  t.notMatch(call?.body, 'chatId')
  t.equal((await attach(user.token, 'cust+1')).statusCode, 200)
  t.equal(seen(ATTACHED).at(-1)?.url, call?.url, 'again: the same chat')
  const { sessions } = (await request('GET', '/api/v1/chat/sessions', { token: user.token })).json()
  t.same(sessions, [], 'nothing has been asked yet')
  t.equal((await request('GET', '/api/v1/chat/credits', { token: user.token })).json().credits_remaining, 1000)

  const upload = { type: 'file:full', name: 'notes ü.txt', mime: 'text/plain', data: 'hello "file" 🙂\nline2' }
  await ask(user.token, 'cust+1', { uploads: [upload] })
  t.equal(lastAsked().chatId, upstream)
  t.same(lastAsked().uploads, [upload])
  t.equal(await app.store.collection('prepared_chats').count({}), 0, 'the session has taken it over')
  await ask(user.token, 'cust+1')
  t.equal(lastAsked().chatId, upstream)
  t.equal((await attach(user.token, 'cust+1')).statusCode, 200)
  t.equal(seen(ATTACHED).at(-1)?.url, call?.url, 'and the session goes on with it')
})

t.test('everybody has chats of their own', async (t) => {
  const { attach, user, other, visitor, ask, seen } = await start(t)
  const alice = await visitor('alice')
  const bob = await visitor('bob')
  for (const token of [user.token, alice, bob]) t.equal((await attach(token, 'chat')).statusCode, 200)
  t.equal(new Set(seen(ATTACHED).map(({ url }) => url)).size, 3)
  t.equal((await attach(other.token, 'chat')).statusCode, 200, 'nobody has begun it yet')
  await ask(user.token, 'chat')
  t.equal((await attach(other.token, 'chat')).statusCode, 200, 'now that name is taken')
  t.equal((await attach(other.token, 'chat', [TEXT], report)).statusCode, 403)
  t.equal((await attach(user.token, 'chat', [TEXT], report)).statusCode, 200, 'a chat is one of one chatflow')
  t.equal(new Set(seen(ATTACHED).map(({ url }) => url)).size, 6, 'and each of them is a chat of its own')
  t.equal((await attach('', 'chat')).statusCode, 401)
})

t.test('only what the chatflow takes, and what it claims to be', async (t) => {
  const { attach, user, configure, seen } = await start(t, { MAX_FILE_MB: '1', MAX_UPLOADS: '2' })
  const status = async (...parts: FormPart[]) => (await attach(user.token, 'chat', parts)).statusCode
  const file = (type: string, content: string | Buffer, filename = 'a') => ({ name: 'files', filename, type, content })
  t.equal(await status(file('application/octet-stream', 'plain', 'a.txt')), 200, 'the ending says what it is')
  t.equal(await status(file('application/pdf', 'no PDF')), 415)
  t.equal(await status(file('text/plain', Buffer.from([0, 1, 2]))), 415)
  t.equal(await status(file('text/html', '<p>')), 415, 'not one of its types')
  t.equal(await status(file('application/x-msdownload', 'MZ')), 415)
  t.equal(await status(file('text/plain', 'x'.repeat(1_048_577))), 413)
  t.equal(await status(TEXT, TEXT, TEXT), 422)
  t.equal(await status({ name: 'chatId', content: 'chat' }), 422)
  t.equal((await attach(user.token, '..%2f..%2fother')).statusCode, 200, 'a name, and never a path')
  t.notMatch(seen(ATTACHED).at(-1)?.url, /other|%2f/i)
  configure({ status: true }, report)
  t.equal((await attach(user.token, 'page', [file('text/html', '<p>')], report)).statusCode, 200)
  configure({ status: false }, research)
  const refused = await attach(user.token, 'none', [TEXT], research)
  t.equal(refused.statusCode, 403)
  t.match(refused.json(), { code: 'uploads_forbidden', error: /does not take such files/ })
})

t.test('what Flowise says wrongly is told in our words', async (t) => {
  const { attach, user, standIn, configure, json } = await start(t, { FIRST_BYTE_TIMEOUT_MS: '1000' })
  configure({ status: true })
  const faults = [
    [FAULTS.failure, 502],
    [FAULTS.html, 502],
    [json([]), 502],
    [json([{ name: 'a' }]), 502],
    [FAULTS.refused, 503],
    [FAULTS.hang, 503]
  ] as const
  for (const [fault, status] of faults) {
    standIn.next(fault, ATTACHED)
    const reply = await attach(user.token, 'chat')
    t.equal(reply.statusCode, status, reply.body)
    t.notMatch(reply.body, /10\.0\.0\.1|sk-1|<html|buildChatflow/)
  }
})

t.test('a day has an end', async (t) => {
  const { attach, user, other } = await start(t, { USER_FILES_MB: '1' })
  const half = { ...TEXT, content: 'x'.repeat(600_000) }
  t.equal((await attach(user.token, 'chat', [half])).statusCode, 200)
  t.equal((await attach(user.token, 'chat', [half])).statusCode, 413)
  t.equal((await attach(other.token, 'mine', [half])).statusCode, 200, 'for each user')
})

t.test('a day holds no more documents when many come at once', async (t) => {
  const { attach, user } = await start(t, { USER_FILES_MB: '1' })
  const half = { ...TEXT, content: 'x'.repeat(600_000) }
  const replies = await Promise.all(Array.from({ length: 8 }, () => attach(user.token, 'chat', [half])))
  const taken = replies.filter(({ statusCode }) => statusCode === 200)
  const refused = replies.filter(({ statusCode }) => statusCode === 413)
  t.same([taken.length, refused.length], [1, 7])
  const rest = { ...TEXT, content: 'x'.repeat(300_000) }
  t.equal((await attach(user.token, 'chat', [rest])).statusCode, 200, 'what was refused takes no place')
})

t.test('chats in which nothing was asked are forgotten after a day, here and at Flowise', async (t) => {
  const { attach, user, app, seen } = await start(t)
  await attach(user.token, 'chat')
  const upstream = seen(ATTACHED)[0]?.url.split('/').at(-1) ?? ''
  const gone = await app.history.purge(app.clock.now() + 25 * 3_600_000)
  t.match(gone, [{ upstream: { chatId: upstream } }])
  t.equal(await app.store.collection('prepared_chats').count({}), 0)
  await attach(user.token, 'chat')
  t.notMatch(seen(ATTACHED).at(-1)?.url, upstream)
})
