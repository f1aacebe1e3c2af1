import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { readFlowiseForm } from '../../src/flowise/multipart.ts'
import { readForm } from '../../src/multipart.ts'
import type { SeenRequest } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, settled, stored, textOf } from './tools.ts'

const { echo } = DEMO_IDS
const PATH = `/api/v1/prediction/${echo}`
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A form as browsers send it; a file where the value is an object. */
function form(
  fields: [name: string, value: string | { name: string; type: string; text: string }][],
  boundary = 'xYz'
) {
  const parts = fields.map(([name, value]) =>
    typeof value === 'string'
      ? `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
      : `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${value.name}"\r\nContent-Type: ${value.type}\r\n\r\n${value.text}\r\n`
  )
  return {
    body: Buffer.from(`${parts.join('')}--${boundary}--\r\n`),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }
  }
}

async function start(t: Parameters<typeof startStreams>[0], env: Record<string, string> = {}) {
  const gateway = await startStreams(t, env)
  const post = ({ body, headers }: ReturnType<typeof form>, more: Record<string, string> = {}) =>
    gateway.request('POST', PATH, { token: gateway.user.token, body, headers: { ...headers, ...more } })
  return { ...gateway, post }
}

/** What Flowise's own parser would make of it. */
async function received(seen: SeenRequest | undefined) {
  const type = String(seen?.headers['content-type'])
  const { body, files } = readFlowiseForm(await readForm(type, Buffer.from(String(seen?.body)), { maxFiles: 10 }))
  const { overrideConfig, ...own } = body
  return { type, fields: { ...own, ...Object(overrideConfig) }, files }
}

t.test('without files it is an ordinary prediction', async (t) => {
  const gateway = await start(t)
  const { post, standIn, user } = gateway
  const fields: [string, string][] = [
    ['question', 'what is this? 🙂'],
    ['chatId', 'my-chat'],
    ['temperature', '2'],
    ['vars', '{"a":1}'],
    ['evaluation', 'true']
  ]
  const reply = await post(form(fields))
  t.equal(reply.statusCode, 200)
  t.match(reply.json(), { text: 'what is this? 🙂', chatId: 'my-chat' })
  const { headers, body } = standIn.predictions.at(-1) ?? {}
  t.equal(headers?.['content-type'], 'application/json')
  const { chatId, overrideConfig, ...own } = Object(body)
  t.same(own, { question: 'what is this? 🙂', streaming: false })
  t.match(chatId, UUID)
  t.same(Object.keys(overrideConfig), ['sessionId'])
  const stream = await post(form([...fields, ['streaming', 'true']]))
  t.match(stream.headers['content-type'], 'text/event-stream')
  t.equal(textOf(stream.body), 'what is this? 🙂')
  t.equal(eventsOf(stream.body).at(-1)?.event, 'end')
  t.equal((await stored(gateway).messages('my-chat')).length, 4)
  await settled(t, gateway, user.id)
})

t.test("with files the fields are the overrides, and the session is the gateway's", async (t) => {
  const gateway = await start(t)
  const { post, standIn, request, admin, user } = gateway
  await request('PATCH', `/api/v1/admin/chatflows/${echo}`, {
    token: admin.token,
    body: { override_allow: ['pineconeNamespace'] }
  })
  standIn.next({ body: '{"text":"read"}' })
  const reply = await post(
    form([
      ['question', 'read this'],
      ['sessionId', 'victim'],
      ['chatId', 'my-chat'],
      ['analytics', '{}'],
      ['pineconeNamespace', 'docs'],
      ['files', { name: '../../etc/pass\u0001wd.txt', type: 'text/plain', text: 'line 1\r\n--xY\r\nend' }],
      ['other', { name: 'b.csv', type: 'Text/CSV', text: '' }]
    ])
  )
  t.match(reply.json(), { text: 'read', chatId: 'my-chat' })
  const seen = standIn.predictions.at(-1)
  const { type, fields, files } = await received(seen)
  t.match(type, /^multipart\/form-data; boundary=(?!xYz)/)
  t.same(
    Object.keys(fields).toSorted((a, b) => a.localeCompare(b)),
    ['chatId', 'pineconeNamespace', 'question', 'sessionId', 'streaming']
  )
  t.match(fields, {
    question: 'read this',
    chatId: UUID,
    sessionId: UUID,
    pineconeNamespace: 'docs',
    streaming: 'false'
  })
  t.same(
    files.map(({ name, claims, bytes }) => [name, ...claims, bytes.toString()]),
    [
      ['passwd.txt', 'text/plain', 'line 1\r\n--xY\r\nend'],
      ['b.csv', 'text/csv', '']
    ]
  )
  t.notMatch(String(seen?.body), 'victim')
  await settled(t, gateway, user.id)
})

t.test('broken and oversized forms are refused before anything', async (t) => {
  const gateway = await start(t, { MAX_FILE_MB: '0.01', MAX_UPLOADS: '2', MAX_BODY_MB: '1' })
  const { post, standIn, user } = gateway
  const file = (text: string) => ({ name: 'a.txt', type: 'text/plain', text })
  const code = async (reply: ReturnType<typeof post>) => {
    const { statusCode, body } = await reply
    return [statusCode, JSON.parse(body).code]
  }
  const question: [string, string] = ['question', 'hi']
  t.same(await code(post(form([question, ['files', file('x'.repeat(20_000))]]))), [413, 'file_too_large'])
  for (const type of ['application/octet-stream', 'text/html', 'image/svg+xml', 'application/x-msdownload'])
    t.same(await code(post(form([question, ['files', { ...file('x'), type }]]))), [415, 'unsupported_media_type'], type)
  t.same(
    await code(
      post(
        form([question, ...Array.from({ length: 3 }, () => ['files', file('x')] as [string, ReturnType<typeof file>])])
      )
    ),
    [422, 'validation_error']
  )
  t.same(await code(post(form([['question', 'x'.repeat(100_001)]]))), [422, 'validation_error'])
  t.same(await code(post(form([['chatId', 'x']]))), [422, 'validation_error'])
  t.same(await code(post(form(Array.from({ length: 60 }, (_, n) => [`f${n}`, 'x'] as [string, string])))), [
    422,
    'validation_error'
  ])
  t.same(await code(post(form([question]), { 'content-type': 'multipart/form-data' })), [400, 'bad_request'])
  const cut = form([question, ['files', file('x')]])
  t.same(await code(post({ ...cut, body: cut.body.subarray(0, cut.body.length - 12) })), [400, 'bad_request'])
  t.same(await code(post(form([question, ['x', 'y'.repeat(1_100_000)]]))), [413, 'body_too_large'])
  t.equal(standIn.predictions.length, 0)
  t.same(await stored(gateway).sessions(), [])
  await settled(t, gateway, user.id)
})
