import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { SeenRequest } from '../stand-in/flowise.ts'
import { buildTestApp } from '../helper.ts'
import { eventsOf, settled, stored } from '../prediction/tools.ts'
import { keptFiles, NOTHING, textFile, upload } from './kept.ts'
import { picture, samples } from './samples.ts'

const { echo, report } = DEMO_IDS
const PREDICT = '/api/v1/chat/predict'

async function start(t: Test, env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '100', ...env } })
  const user = await gateway.createUser({ grants: [echo, report] })
  const other = await gateway.createUser({ grants: [echo] })
  const ask = (body: Record<string, unknown>, headers: Record<string, string> = {}, path = PREDICT) =>
    gateway.request('POST', path, { token: user.token, body: { chatflow_id: echo, question: 'hi', ...body }, headers })
  const code = async (reply: ReturnType<typeof ask>) => {
    const { statusCode, body } = await reply
    return [statusCode, statusCode === 200 ? 'ok' : JSON.parse(body).code]
  }
  const history = async (sessionId: string) => {
    const reply = await gateway.request('GET', `/api/v1/chat/sessions/${sessionId}/history`, { token: user.token })
    return reply.json().messages
  }
  const kept = () => keptFiles(gateway, user.id)
  const before = async (file = textFile(9, 'before.txt')) => (await upload(gateway, user.token, file)).json().file_id
  return { ...gateway, user, other, ask, code, history, kept, before }
}

const uploadsOf = (seen: SeenRequest | undefined): { data: string; type: string; name: string; mime: string }[] =>
  Object(seen?.body).uploads
const dataUrl = (mime: string, bytes: Buffer) => `data:${mime};base64,${bytes.toString('base64')}`
const notes = { data: dataUrl('text/plain', Buffer.from('notes')), type: 'file', name: 'notes.txt', mime: 'text/plain' }

t.test('every way to write a file arrives with exactly one prefix, and a name that fits', async (t) => {
  const { ask, standIn, user, ...gateway } = await start(t, { MAX_UPLOADS: '10' })
  for (const { name, mime, bytes } of await samples()) {
    const base64 = bytes.toString('base64')
    const uploads = [
      { data: `data:${mime};base64,${base64}`, type: 'file', name, mime },
      { data: `data:${mime};name=x;base64,${base64}`, name },
      { data: base64, mime, name: 'without an ending', type: null },
      {
        data: base64.replaceAll(/.{60}/g, '$&\r\n'),
        mime: mime.toUpperCase(),
        name: '../a\u0000b.exe',
        other: 'dropped'
      },
      { data: `data:application/octet-stream;base64,${base64}`, mime },
      {
        data: `data:${mime},${bytes.toString('latin1').replaceAll(/[^a-z]/g, (c) => `%${Buffer.from(c, 'latin1').toString('hex')}`)}`
      }
    ]
    const reply = await ask({ uploads })
    t.equal(reply.statusCode, 200, reply.body)
    const sent = uploadsOf(standIn.predictions.at(-1))
    const ending = name.slice(name.indexOf('.'))
    t.same(
      sent.map((one) => one.name),
      [name, name, `without an ending${ending}`, `ab.exe${ending}`, `file${ending}`, `file${ending}`]
    )
    for (const one of sent) {
      t.same(Object.keys(one).toSorted(), ['data', 'mime', 'name', 'type'])
      t.match(one, { data: `data:${mime};base64,${base64}`, type: 'file', mime })
    }
  }
  await settled(t, gateway, user.id)
})

t.test('files that come with a question and files from before stand together in the history', async (t) => {
  const { ask, history, kept, before, standIn, request, user } = await start(t)
  const png = await picture().png().toBuffer()
  const early = await before()
  const image = { data: dataUrl('image/png', png), name: 'shot.png' }
  await ask({ sessionId: 's1', uploads: [notes, image], file_ids: [early, early] })
  t.same(
    uploadsOf(standIn.predictions.at(-1)).map(({ name, data }) => [
      name,
      Buffer.from(data.split(',')[1] ?? '', 'base64')
    ]),
    [
      ['notes.txt', Buffer.from('notes')],
      ['shot.png', png],
      ['before.txt', Buffer.alloc(9, 'x')]
    ]
  )
  const [question, answer] = await history('s1')
  t.match(question, {
    role: 'user',
    files: [
      { name: 'notes.txt', mime: 'text/plain', size: 5, url: /^\/api\/v1\/chat\/files\/[0-9a-f-]{36}$/ },
      { name: 'shot.png', mime: 'image/png', thumbnail_url: /\/thumbnail$/ },
      { file_id: early, name: 'before.txt', size: 9 }
    ]
  })
  t.same([question.files.length, answer.files], [3, []])
  const shown = await request('GET', question.files[1].url, { token: user.token })
  t.ok(shown.rawPayload.equals(png))

  await ask({ sessionId: 's2', file_ids: [early] })
  await request('DELETE', question.files[0].url, { token: user.token })
  t.equal((await history('s1'))[0].files.length, 2, 'a deleted file is no longer listed')
  const gone = await request('DELETE', '/api/v1/chat/sessions/s1', { token: user.token })
  t.match(gone.json(), { files_deleted: 1 }, 'the other one is in another session too')
  t.match((await history('s2'))[0].files, [{ file_id: early }])
  await request('DELETE', '/api/v1/chat/sessions/s2', { token: user.token })
  t.match(await kept(), NOTHING)
})

t.test('a stream tells of the files right after the session', async (t) => {
  const { ask, before } = await start(t)
  const early = await before()
  const reply = await ask({ uploads: [notes], file_ids: [early] }, {}, `${PREDICT}/stream`)
  const events = eventsOf(reply.body)
  t.same(
    events.slice(0, 3).map(({ event, id }) => [id, event]),
    [
      ['1', 'session_id'],
      ['2', 'files_uploaded'],
      ['3', 'start']
    ]
  )
  t.match(events[1]?.data.data, {
    file_count: 2,
    files: [
      { file_id: /^[0-9a-f-]{36}$/, name: 'notes.txt', size: 5, type: 'text/plain' },
      { file_id: early, name: 'before.txt', size: 9, type: 'text/plain' }
    ]
  })
  t.notMatch((await ask({}, {}, `${PREDICT}/stream`)).body, 'files_uploaded')
})

t.test('what is malformed is refused before anything is looked up', async (t) => {
  const { ask, code, kept, standIn } = await start(t, { MAX_UPLOADS: '2' })
  const refused = async (body: Record<string, unknown>) =>
    t.same(
      await code(ask({ chatflow_id: 'unknown', ...body })),
      [422, 'validation_error'],
      JSON.stringify(body).slice(0, 80)
    )
  for (const type of ['stored-file', 'url', 'audio', 'file:rag', 'file:full', 'File', '', 7])
    await refused({ uploads: [{ ...notes, type }] })
  for (const data of [
    undefined,
    null,
    7,
    'not base64!',
    'data:text/plain;base64,###',
    'data:text/plain',
    'YWJj=YWJj',
    'a',
    'data:text/plain,%zz',
    'http://10.0.0.1/x'
  ])
    await refused({ uploads: [{ ...notes, data }] })
  await refused({ uploads: [{ data: 'YWJj' }] })
  await refused({ uploads: [{ data: 'data:;base64,YWJj' }] })
  await refused({ uploads: [notes, notes, notes] })
  await refused({ uploads: [notes, notes], file_ids: ['a'] })
  await refused({ uploads: 'x' })
  await refused({ file_ids: [7] })
  t.equal(standIn.predictions.length, 0)
  t.match(await kept(), NOTHING)
})

t.test('one bad file refuses the request, and nothing is held, stored or forwarded', async (t) => {
  const gateway = await start(t, { MAX_FILE_MB: '0.001', USER_FILES_MB: '0.002' })
  const { ask, code, kept, standIn, user, other, request } = gateway
  const text = (size: number) => ({ data: dataUrl('text/plain', Buffer.alloc(size, 'x')) })
  const foreign = (await upload(gateway, other.token, textFile(3))).json().file_id
  const { rows, blobs } = await kept()
  for (const path of [PREDICT, `${PREDICT}/stream`]) {
    const post = (body: Record<string, unknown>) => code(ask({ sessionId: 'new', ...body }, {}, path))
    t.same(await post({ uploads: [notes, { ...notes, mime: 'image/png' }] }), [415, 'unsupported_media_type'])
    t.same(await post({ uploads: [notes, { ...notes, data: dataUrl('text/html', Buffer.from('x')), mime: null }] }), [
      415,
      'unsupported_media_type'
    ])
    t.same(await post({ uploads: [notes, text(1049)] }), [413, 'file_too_large'])
    t.same(await post({ uploads: [text(1048), text(1048), text(2)] }), [413, 'file_quota_exceeded'])
    t.same(await post({ uploads: [notes], file_ids: [foreign] }), [404, 'file_not_found'])
    t.same(await post({ file_ids: ['../x'] }), [404, 'file_not_found'])
  }
  t.match(await kept(), { rows, blobs, bytes: 0, files: 0 })
  t.equal(standIn.predictions.length, 0)
  t.same(await stored(gateway).sessions(), [])
  t.match((await stored(gateway).account(user.id))?.holdCount ?? 0, 0)

  // Between the session, which is looked at before, and the credits, which are looked at after.
  const poor = await gateway.createUser({ grants: [echo] })
  await gateway.app.ledger.change(poor.id, { key: 'take', kind: 'adjust', amountMicro: -100_000_000, note: '' })
  const pay = (body: Record<string, unknown>) =>
    code(request('POST', PREDICT, { token: poor.token, body: { chatflow_id: echo, question: 'hi', ...body } }))
  t.same(await pay({ file_ids: ['x'] }), [404, 'file_not_found'], 'files before credits')
  t.same(await pay({ uploads: [text(1049)] }), [413, 'file_too_large'])
  t.same(await pay({ uploads: [notes] }), [402, 'insufficient_credits'])
  t.match(await keptFiles(gateway, poor.id), { rows, blobs, bytes: 0, files: 0 }, 'nothing of it is left')
  await ask({ sessionId: 'of-user' })
  t.same(await pay({ sessionId: 'of-user', file_ids: ['x'] }), [404, 'session_not_found'], 'the session before files')
  t.same(await code(ask({ chatflow_id: 'unknown', file_ids: ['x'] })), [404, 'chatflow_not_found'])
})

t.test('a question that Flowise refuses keeps its files, as the history keeps the question', async (t) => {
  const { ask, code, kept, history, standIn, request, user } = await start(t)
  standIn.next({ status: 500, body: '{}' })
  t.same(await code(ask({ sessionId: 's1', uploads: [notes] })), [502, 'upstream_error'])
  t.match(await history('s1'), [{ status: 'failed', files: [{ name: 'notes.txt' }] }])
  t.match(await kept(), { files: 1, rows: [{ isUsed: true }] })
  await request('DELETE', '/api/v1/chat/history', { token: user.token })
  t.match(await kept(), NOTHING)
})

t.test('an idempotency key stands for the files too', async (t) => {
  const { ask, code, kept, standIn } = await start(t)
  const keyed = (body: Record<string, unknown>) => ask(body, { 'idempotency-key': 'k' })
  const first = await keyed({ uploads: [notes] })
  const again = await keyed({ uploads: [notes] })
  t.match([again.statusCode, again.headers['idempotency-replayed']], [200, 'true'])
  t.equal(again.json().message_id, first.json().message_id)
  t.same(await code(keyed({ uploads: [{ ...notes, data: dataUrl('text/plain', Buffer.from('other')) }] })), [
    422,
    'idempotency_mismatch'
  ])
  t.same(await code(keyed({})), [422, 'idempotency_mismatch'])
  t.equal(standIn.predictions.length, 1)
  t.match(await kept(), { files: 1 })
})

t.test("Flowise's own path takes the same files, in both of its forms", async (t) => {
  const { request, user, standIn, history, kept } = await start(t)
  const path = `/api/v1/prediction/${echo}`
  const json = await request('POST', path, {
    token: user.token,
    body: { question: 'hi', chatId: 'c1', uploads: [notes] }
  })
  t.equal(json.statusCode, 200)
  t.match(uploadsOf(standIn.predictions.at(-1)), [notes])
  const boundary = 'b'
  const form = (type: string) =>
    request('POST', path, {
      token: user.token,
      body: Buffer.from(
        `--b\r\nContent-Disposition: form-data; name="question"\r\n\r\nhi\r\n--b\r\nContent-Disposition: form-data; name="chatId"\r\n\r\nc2\r\n` +
          `--b\r\nContent-Disposition: form-data; name="files"; filename="page.html"\r\nContent-Type: ${type}\r\n\r\n<b>\r\n--b--\r\n`
      ),
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }
    })
  t.equal((await form('image/png')).statusCode, 415, 'believed is what the bytes say')
  standIn.next({ body: '{"text":"read"}' })
  t.equal((await form('text/plain')).statusCode, 200)
  t.match(String(standIn.predictions.at(-1)?.body), 'filename="page.html.txt"')
  t.match(await history('c1'), [{ files: [{ name: 'notes.txt' }] }, {}])
  t.match(await history('c2'), [{ files: [{ name: 'page.html' }] }, {}])
  t.match(await kept(), { files: 2 })
  const audio = { ...notes, type: 'audio' }
  t.equal(
    (await request('POST', path, { token: user.token, body: { question: 'hi', uploads: [audio] } })).statusCode,
    403
  )
})
