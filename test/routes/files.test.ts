import sharp from 'sharp'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { keptFiles, NOTHING, textFile, upload } from '../files/kept.ts'
import { picture, samples, uploadForm } from '../files/samples.ts'
import { buildTestApp } from '../helper.ts'

const FILES = '/api/v1/chat/files'
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

async function start(t: Test, env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '100', ...env } })
  const user = await gateway.createUser({ grants: [DEMO_IDS.echo] })
  const other = await gateway.createUser({ grants: [DEMO_IDS.echo] })
  const send = (file: Parameters<typeof upload>[2], options?: Parameters<typeof upload>[3]) =>
    upload(gateway, user.token, file, options)
  /** The id of a file that must be taken. */
  const taken = async (file: Parameters<typeof upload>[2], options?: Parameters<typeof upload>[3]) => {
    const reply = await send(file, options)
    t.equal(reply.statusCode, 201, reply.body)
    return String(reply.json().file_id)
  }
  const get = (id: string, headers: Record<string, string> = {}, token = user.token) =>
    gateway.request('GET', `${FILES}/${id}`, { token, headers })
  const code = async (reply: ReturnType<typeof send>) => {
    const { statusCode, body } = await reply
    return [statusCode, JSON.parse(body).code]
  }
  const converse = async (sessionId: string) => {
    const body = { chatflow_id: DEMO_IDS.echo, question: 'hi', sessionId }
    t.equal((await gateway.request('POST', '/api/v1/chat/predict', { token: user.token, body })).statusCode, 200)
  }
  return { ...gateway, user, other, send, taken, get, code, converse }
}

t.test('each type that is taken comes back as it was', async (t) => {
  const { send, get } = await start(t)
  for (const sample of await samples()) {
    const reply = await send(sample)
    const { file_id: id, message, ...rest } = reply.json()
    t.equal(reply.statusCode, 201)
    t.same(rest, { name: sample.name, mime: sample.mime, size: sample.bytes.length })
    t.match([id, message], [UUID, /./])
    const back = await get(id)
    t.equal(back.statusCode, 200)
    t.ok(back.rawPayload.equals(sample.bytes))
    const isText = sample.mime.startsWith('text/')
    const kind = sample.mime.startsWith('image/') ? 'inline' : 'attachment'
    t.match(back.headers, {
      'content-type': `${sample.mime}${isText ? '; charset=utf-8' : ''}`,
      'content-length': String(sample.bytes.length),
      'content-disposition': `${kind}; filename="${sample.name}"; filename*=UTF-8''${sample.name}`,
      'cache-control': 'private, max-age=3600',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
      vary: 'Authorization',
      etag: /^"[0-9a-f]{64}"$/
    })
    const saved = await get(`${id}?download=true`)
    t.match(saved.headers['content-disposition'], /^attachment; /)
  }
})

t.test('what is not what it claims, too large or too much is refused and leaves nothing', async (t) => {
  const gateway = await start(t, { MAX_FILE_MB: '0.001', USER_FILES_MB: '0.002', MAX_BODY_MB: '0.01' })
  const { send, code, user, request, taken } = gateway
  const png = await picture().png().toBuffer()
  t.same(await code(send({ name: 'a.jpg', mime: 'image/jpeg', bytes: png })), [415, 'unsupported_media_type'])
  t.same(await code(send({ ...textFile(3), mime: 'text/html' })), [415, 'unsupported_media_type'])
  t.same(await code(send(textFile(1049))), [413, 'file_too_large'])
  t.same(await code(send(textFile(20_000))), [413, 'body_too_large'])
  t.same(await code(send(undefined)), [422, 'validation_error'])
  t.same(await code(send({ ...textFile(3), field: 'files' })), [422, 'validation_error'])
  t.same(await code(send(textFile(3), { fields: { session_id: 'nobodys' } })), [404, 'session_not_found'])
  const raw = (body: Buffer | string, type: string) =>
    code(request('POST', FILES, { token: user.token, body, headers: { 'content-type': type } }))
  t.same(await raw('{}', 'application/json'), [422, 'validation_error'])
  t.same(await raw('x', 'text/plain'), [415, 'unsupported_media_type'])
  t.same(await raw('x', 'multipart/form-data'), [400, 'bad_request'])
  const whole = uploadForm(textFile(100))
  t.same(await raw(whole.body.subarray(0, 150), whole.headers['content-type']), [400, 'bad_request'])
  t.match(await keptFiles(gateway, user.id), NOTHING)
  await taken(textFile(1048))
  t.same(await code(send(textFile(1048), {})), [201, undefined])
  t.same(await code(send(textFile(2))), [413, 'file_quota_exceeded'])
  t.match(await keptFiles(gateway, user.id), { bytes: 2096, files: 2 })
})

t.test('a second file is one too many', async (t) => {
  const gateway = await start(t)
  const one = uploadForm(textFile(3)).body.toString().split('--a-boundary-of-the-tests--')[0] ?? ''
  const body = `${one}${uploadForm(textFile(3)).body.toString()}`
  const reply = await gateway.request('POST', FILES, { token: gateway.user.token, ...uploadForm(undefined), body })
  t.equal(reply.statusCode, 422)
  t.match(await keptFiles(gateway, gateway.user.id), NOTHING)
})

t.test('the other address of an upload does the same', async (t) => {
  const { request, user, get } = await start(t)
  const reply = await request('POST', '/api/v1/chat/upload', { token: user.token, ...uploadForm(textFile(3)) })
  t.match([reply.statusCode, reply.json()], [201, { name: 'a.txt', mime: 'text/plain', size: 3 }])
  t.equal((await get(reply.json().file_id)).body, 'xxx')
})

t.test('names cannot break out of anything', async (t) => {
  const { taken, get } = await start(t)
  for (const [given, ascii, encoded] of [
    ['../../../etc/passwd', 'passwd.txt', 'passwd.txt'],
    ['<script>alert(1)</script>.html', 'script>.html.txt', 'script%3E.html.txt'],
    ['Übergröße 🙂.txt', '_bergr__e _.txt', '%C3%9Cbergr%C3%B6%C3%9Fe%20%F0%9F%99%82.txt'],
    ["it's;(1)%41.txt", "it's;(1)_41.txt", 'it%27s%3B%281%29%2541.txt']
  ] as const) {
    const id = await taken(textFile(3, given))
    const { headers } = await get(id)
    t.equal(headers['content-disposition'], `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`)
  }
})

t.test('for anybody but its owner there is no file, not even for an administrator', async (t) => {
  const { taken, request, other, admin, user } = await start(t)
  const id = await taken({ name: 'a.png', mime: 'image/png', bytes: await picture().png().toBuffer() })
  for (const token of [other.token, admin.token]) {
    for (const path of [id, `${id}/thumbnail`, `${id}?download=true`]) {
      const reply = await request('GET', `${FILES}/${path}`, {
        token,
        headers: { 'if-none-match': '*', range: 'bytes=0-' }
      })
      t.match([reply.statusCode, reply.json().code], [404, 'file_not_found'])
      t.equal(reply.headers.etag, undefined)
    }
    t.equal((await request('DELETE', `${FILES}/${id}`, { token })).statusCode, 404)
  }
  for (const path of [id, `${id}/thumbnail`]) t.equal((await request('GET', `${FILES}/${path}`)).statusCode, 401)
  for (const unknown of ['x', '..%2f..%2fetc%2fpasswd', '%00', '__proto__', 'x'.repeat(500)])
    t.equal((await request('GET', `${FILES}/${unknown}`, { token: user.token })).statusCode, 404, unknown)
  t.equal((await request('GET', `${FILES}/${id}`, { token: user.token })).statusCode, 200)
})

t.test('unchanged files, parts of files, and heads of files', async (t) => {
  const { taken, get, request, user } = await start(t)
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => `${index},`).join(''))
  const id = await taken({ name: 'a.csv', mime: 'text/csv', bytes })
  const etag = String((await get(id)).headers.etag)
  const unchanged = await get(id, { 'if-none-match': `"x", ${etag}` })
  t.match(unchanged, { statusCode: 304, body: '', headers: { etag, 'cache-control': 'private, max-age=3600' } })
  t.equal((await get(id, { 'if-none-match': '"x"' })).statusCode, 200)
  const part = await get(id, { range: 'bytes=300000-300009' })
  t.match(part, { statusCode: 206, headers: { 'content-range': `bytes 300000-300009/${bytes.length}` } })
  t.equal(part.body, bytes.toString('latin1', 300_000, 300_010))
  t.equal((await get(id, { range: 'bytes=-5' })).body, bytes.subarray(-5).toString())
  t.equal((await get(id, { range: 'bytes=0-1', 'if-range': '"old"' })).statusCode, 200)
  t.equal((await get(id, { range: 'bytes=0-1', 'if-range': etag })).statusCode, 206)
  const beyond = await get(id, { range: `bytes=${bytes.length}-` })
  t.match(beyond, { statusCode: 416, headers: { 'content-range': `bytes */${bytes.length}` } })
  t.equal(beyond.json().code, 'range_not_satisfiable')
  const head = await request('HEAD', `${FILES}/${id}`, { token: user.token })
  t.match(head, { statusCode: 200, body: '', headers: { 'content-length': String(bytes.length), etag } })
})

t.test('thumbnails', async (t) => {
  const { taken, request, user, get } = await start(t)
  const photo = await taken({ name: 'photo.png', mime: 'image/png', bytes: await picture(900, 300).png().toBuffer() })
  const glass = await taken({
    name: 'glass.webp',
    mime: 'image/webp',
    bytes: await picture(90, 30, 0.5).webp().toBuffer()
  })
  const thumbnail = (id: string, query = '', headers: Record<string, string> = {}) =>
    request('GET', `${FILES}/${id}/thumbnail${query}`, { token: user.token, headers })
  const small = await thumbnail(photo)
  t.match(small, {
    statusCode: 200,
    headers: {
      'content-type': 'image/jpeg',
      'cache-control': 'private, max-age=3600',
      'content-security-policy': "default-src 'none'; sandbox",
      'content-disposition': /^inline; filename="photo.png.jpg"/
    }
  })
  t.match(await sharp(small.rawPayload).metadata(), { format: 'jpeg', width: 200, height: 67 })
  t.match(await sharp((await thumbnail(photo, '?size=1024')).rawPayload).metadata(), { width: 900 }, 'never enlarged')
  t.match(await sharp((await thumbnail(glass, '?size=16')).rawPayload).metadata(), { format: 'png', width: 16 })
  const etag = String(small.headers.etag)
  t.equal((await thumbnail(photo, '', { 'if-none-match': etag })).statusCode, 304)
  t.equal((await thumbnail(photo, '?size=100', { 'if-none-match': etag })).statusCode, 200)
  t.not((await get(photo)).headers.etag, etag)
  for (const size of ['15', '1025', '0', '-1', 'big', '1.5'])
    t.equal((await thumbnail(photo, `?size=${size}`)).statusCode, 422, size)
  const broken = await taken({ name: 'a.gif', mime: 'image/gif', bytes: Buffer.from('GIF89a broken') })
  for (const id of [broken, await taken(textFile(9))]) {
    const reply = await thumbnail(id)
    t.match([reply.statusCode, reply.json().code], [422, 'not_an_image'])
  }
})

t.test('the files of a session, in pages; addresses as clients reach them', async (t) => {
  const { taken, request, user, other, converse, app } = await start(t, {
    PUBLIC_BASE_URL: 'https://chat.example/api-of/'
  })
  await converse('s1')
  const ids: string[] = []
  for (const name of ['a.txt', 'b.txt', 'c.txt'])
    ids.push(await taken(textFile(3, name), { fields: { session_id: 's1' } }))
  await taken(textFile(3), { fields: { session_id: '' } })
  const image = { name: 'd.png', mime: 'image/png', bytes: await picture().png().toBuffer() }
  ids.push(await taken(image, { fields: { session_id: 's1' } }))
  const list = (query = '', token = user.token) => request('GET', `${FILES}/session/s1${query}`, { token })
  const first = (await list('?limit=3')).json()
  t.match(first, { session_id: 's1', count: 3 })
  const second = (await list(`?limit=3&cursor=${first.next_cursor}`)).json()
  t.match(second, { count: 1, next_cursor: null })
  const all: { file_id: string; name: string }[] = [...first.files, ...second.files]
  t.same(all.map(({ file_id }) => file_id).toSorted(), ids.toSorted())
  const url = `https://chat.example/api-of${FILES}/${ids[3]}`
  t.match(
    all.find(({ name }) => name === 'd.png'),
    { mime: 'image/png', size: image.bytes.length, url, thumbnail_url: `${url}/thumbnail`, created_at: /Z$/ }
  )
  t.notMatch(
    all.find(({ name }) => name === 'a.txt'),
    { thumbnail_url: /./ }
  )
  t.equal((await list('', other.token)).statusCode, 404)
  t.equal((await request('GET', `${FILES}/session/unknown`, { token: user.token })).json().code, 'session_not_found')
  t.equal((await list('?cursor=x')).statusCode, 422)
  const gone = await request('DELETE', `${FILES}/${ids[0]}`, { token: user.token })
  t.match([gone.statusCode, gone.json()], [200, { file_id: ids[0], message: /./ }])
  t.equal((await request('DELETE', `${FILES}/${ids[0]}`, { token: user.token })).statusCode, 404)
  t.equal((await list()).json().count, 3)
  t.equal((await keptFiles({ app }, user.id)).files, 4)
})

t.test('deleting a session, the history and the user deletes their files', async (t) => {
  const gateway = await start(t)
  const { taken, request, user, admin, converse } = gateway
  const kept = () => keptFiles(gateway, user.id)
  for (const session_id of ['s1', 's2', 's3']) {
    await converse(session_id)
    await taken(textFile(10), { fields: { session_id } })
  }
  const loose = await taken(textFile(5))
  const one = await request('DELETE', '/api/v1/chat/sessions/s1', { token: user.token })
  t.match(one.json(), { session_id: 's1', messages_deleted: 2, files_deleted: 1 })
  t.match(await kept(), { bytes: 25, files: 3 })
  const all = await request('DELETE', '/api/v1/chat/history', { token: user.token })
  t.match(all.json(), { sessions_deleted: 2, messages_deleted: 4, files_deleted: 2 })
  t.same((await kept()).blobs, [loose])
  t.equal((await request('DELETE', `/api/v1/admin/users/${user.id}`, { token: admin.token })).statusCode, 200)
  t.match(await kept(), { ...NOTHING, usage: undefined })
})
