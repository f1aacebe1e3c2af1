import { request as send } from 'node:http'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { FAULTS, type Fault } from '../stand-in/flowise.ts'
import { openSurface } from './open.ts'

const { echo, report } = DEMO_IDS
const GOT = /^GET .*\/get-upload-file\?/
const DOWNLOADED = /^POST .*\/openai-assistants-file\/download/
/** A body in a fault is text: this one is an image for whoever looks at its beginning. */
const IMAGE = 'GIF89a,and so on'
const MISSING = {
  status: 500,
  headers: { 'content-type': 'application/json' },
  body: '{"message":"File zz not found"}'
}

async function start(t: Parameters<typeof openSurface>[0], env: Record<string, string> = {}) {
  const surface = await openSurface(t, env)
  const { request, standIn } = surface
  const found = (body: string): Fault => ({ headers: { 'content-type': '' }, body })
  const get = (token: string, query: Record<string, string> | string) => {
    const named = typeof query === 'string' ? query : new URLSearchParams({ chatflowId: echo, ...query }).toString()
    return request('GET', `/api/v1/get-upload-file?${named}`, { token })
  }
  const idsOf = (url = '') => Object.fromEntries(new URL(url, 'http://flowise').searchParams)
  standIn.always(found(IMAGE), GOT)
  return { ...surface, found, get, idsOf }
}

t.test('a file of a chat is sent as what it is, and named at Flowise by its own ids', async (t) => {
  const { get, user, ask, lastAsked, seen, idsOf, standIn, found, request } = await start(t)
  await ask(user.token, 'cust+1')
  const reply = await get(user.token, { chatId: 'cust+1', fileName: 'ü "a".gif' })
  t.equal(reply.statusCode, 200, reply.body)
  t.equal(reply.body, IMAGE)
  t.match(reply.headers, {
    'content-type': 'image/gif',
    'content-disposition': /^inline; filename="_ _a_.gif"; filename\*=UTF-8''%C3%BC%20%22a%22.gif$/,
    'x-content-type-options': 'nosniff',
    'content-security-policy': /sandbox/,
    'cache-control': /private/
  })
  t.same(idsOf(seen(GOT)[0]?.url), { chatflowId: echo, chatId: lastAsked().chatId, fileName: 'ü "a".gif' })
  const address = `/api/v1/get-upload-file?chatflowId=${echo}&chatId=cust+1&fileName=FILE-STORAGE::a.gif&download=true`
  const raw = await request('GET', address, { token: user.token })
  t.equal(raw.statusCode, 200, 'the plus that became a space')
  t.match(raw.headers['content-disposition'], /^attachment; filename="a.gif"/)
  t.equal(idsOf(seen(GOT).at(-1)?.url).fileName, 'a.gif')

  standIn.next(found('<svg onload="alert(1)"></svg>'), GOT)
  const markup = await get(user.token, { chatId: 'cust+1', fileName: 'a.svg' })
  t.match(markup.headers, { 'content-type': 'application/octet-stream', 'content-disposition': /^attachment/ })
  t.equal((await get(user.token, { chatId: 'cust+1', fileName: 'a', download: 'perhaps' })).statusCode, 422)

  standIn.always(found(IMAGE), DOWNLOADED)
  const body = { chatflowId: echo, chatId: 'cust+1', fileName: 'made.gif' }
  const made = await request('POST', '/api/v1/openai-assistants-file/download', { token: user.token, body })
  t.match(made.headers, { 'content-type': 'image/gif', 'content-disposition': /^attachment; filename="made.gif"/ })
  t.same(seen(DOWNLOADED)[0]?.body, { ...body, chatId: lastAsked().chatId })
  const head = await request('HEAD', `/api/v1/get-upload-file?chatflowId=${echo}&chatId=cust%2B1&fileName=a.gif`, {
    token: user.token
  })
  t.same([head.statusCode, head.body], [200, ''])
})

t.test('nobody reaches the files of others, and no name leads elsewhere', async (t) => {
  const { get, user, other, visitor, ask, seen } = await start(t)
  const alice = await visitor('alice')
  const bob = await visitor('bob')
  await ask(user.token, 'mine')
  await ask(alice, 'chat')
  const status = async (...call: Parameters<typeof get>) => (await get(...call)).statusCode
  t.equal(await status(other.token, { chatId: 'mine', fileName: 'a.gif' }), 404)
  t.equal(await status(bob, { chatId: 'chat', fileName: 'a.gif' }), 404)
  t.equal(await status(alice, { chatId: 'mine', fileName: 'a.gif' }), 404)
  t.equal(await status(user.token, { chatId: 'mine', fileName: 'a.gif', chatflowId: report }), 404)
  t.equal(await status(other.token, { chatId: 'mine', fileName: 'a.gif', chatflowId: report }), 403)
  t.equal(await status('', { chatId: 'mine', fileName: 'a.gif' }), 401)
  for (const fileName of ['../a', '..', '.', 'a/b', 'a\\b', '/etc/passwd', 'a\0b', 'a\nb', 'FILE-STORAGE::../a'])
    t.equal(await status(user.token, { chatId: 'mine', fileName }), 404, fileName)
  for (const chatId of ['../mine', 'nothing', 'x'.repeat(500)])
    t.equal(await status(user.token, { chatId, fileName: 'a.gif' }), 404, chatId.slice(0, 20))
  t.equal(await status(user.token, { chatId: 'mine', fileName: 'x'.repeat(256) }), 422)
  t.equal(await status(user.token, { chatId: 'mine' }), 422)
  t.equal(seen(GOT).length, 0)
  t.equal(await status(alice, { chatId: 'chat', fileName: 'a.gif' }), 200)
})

t.test('the files of a chat are found under the ids that it had before', async (t) => {
  const { get, user, ask, standIn, seen, idsOf, request } = await start(t)
  standIn.next({ events: [['token', 'half']], end: 'cut' })
  const body = { question: 'hi', chatId: 'chat', streaming: true }
  await request('POST', `/api/v1/prediction/${echo}`, { token: user.token, body })
  await ask(user.token, 'chat')
  standIn.next(MISSING, GOT)
  t.equal((await get(user.token, { chatId: 'chat', fileName: 'a.gif' })).statusCode, 200)
  const asked = seen(GOT).map(({ url }) => idsOf(url).chatId)
  t.same(asked, standIn.predictions.map(({ body }) => Object(body).chatId).toReversed())
  t.equal(new Set(asked).size, 2)
})

t.test('what Flowise says wrongly is told in our words', async (t) => {
  const { get, user, ask, standIn } = await start(t, { FIRST_BYTE_TIMEOUT_MS: '1000', MAX_ANSWER_MB: '1' })
  await ask(user.token, 'chat')
  const faults: [Fault, number][] = [
    [MISSING, 404],
    [FAULTS.html, 404],
    [{ status: 400, body: 'Invalid file path' }, 404],
    [FAULTS.refused, 503],
    [FAULTS.hang, 503]
  ]
  for (const [fault, status] of faults) {
    standIn.next(fault, GOT)
    const reply = await get(user.token, { chatId: 'chat', fileName: 'zz.txt' })
    t.equal(reply.statusCode, status, reply.body)
    t.match(reply.headers['content-type'], 'application/json')
    t.notMatch(reply.body, /zz|Invalid file path|<html/)
  }
})

t.test('a file that is too large or stops is cut off, and one that nobody waits for is not read', async (t) => {
  const { user, ask, standIn, listen, found, seen } = await start(t, {
    MAX_ANSWER_MB: '1',
    STREAM_IDLE_TIMEOUT_MS: '1000'
  })
  await ask(user.token, 'chat')
  const url = `${await listen()}/api/v1/get-upload-file?chatflowId=${echo}&chatId=chat&fileName=a.gif`
  const fetched = () =>
    fetch(url, { headers: { authorization: `Bearer ${user.token}` } }).then((reply) => reply.bytes())
  standIn.next(found(IMAGE + 'x'.repeat(2_000_000)), GOT)
  await t.rejects(fetched())
  standIn.next({ ...found(IMAGE + 'x'.repeat(100_000)), cutAtByte: 50_000 }, GOT)
  await t.rejects(fetched())

  standIn.next({ ...found(IMAGE + 'x'.repeat(100_000)), gates: { body: 'stuck' } }, GOT)
  const left = send(url, { headers: { authorization: `Bearer ${user.token}` } })
  left.on('error', () => {})
  left.end()
  await standIn.gate('stuck').reached
  left.destroy()
  await standIn.waitFor(({ url: asked, isLeft }) => isLeft && asked === seen(GOT).at(-1)?.url)
  t.pass('Flowise was left too')
})
