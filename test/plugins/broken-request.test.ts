import t from 'tap'
import { sendRaw } from '../gates/raw-http.ts'
import { buildTestApp } from '../helper.ts'

const broken: Record<string, string> = {
  'no HTTP at all': 'hello\r\n\r\n',
  'TLS where HTTP is spoken': '\u0016\u0003\u0001\u0002\u0000\u0001',
  'a bad request line': 'GET\r\n\r\n',
  'a header without colon': 'GET /health HTTP/1.1\r\nhost: x\r\nbroken\r\n\r\n',
  'a bare CR in a header value': 'GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: a\rb\r\n\r\n',
  'a NUL in a header value': 'GET /health HTTP/1.1\r\nhost: x\r\nx-note: a\u0000b\r\n\r\n',
  'two lengths': 'POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
  'a length that is no number': 'POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n',
  'headers without end': `GET /health HTTP/1.1\r\nhost: x\r\nx-big: ${'a'.repeat(70_000)}\r\n\r\n`,
  'no host': 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n',
  'a chunk without length':
    'POST /chat/authenticate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n',
  'an unknown method': 'BREW /health HTTP/1.1\r\nhost: x\r\n\r\n'
}

t.test('bytes that are no request get a problem with status 400', async (t) => {
  const { listen } = await buildTestApp(t)
  const url = await listen()
  for (const [name, bytes] of Object.entries(broken)) {
    const { status, headers, body } = await sendRaw(url, bytes)
    t.equal(status, 400, name)
    t.equal(headers['content-type']?.split(';')[0], 'application/problem+json', name)
    const problem = JSON.parse(body)
    t.match(problem, { status: 400, code: 'bad_request', error: 'bad_request' }, name)
    t.ok(headers['x-request-id'], name)
    t.equal(problem.request_id, headers['x-request-id'], name)
    t.equal(headers['x-content-type-options'], 'nosniff', name)
  }
})

t.test('a request that breaks off before its reply counts as no success', async (t) => {
  const { app, listen, request } = await buildTestApp(t)
  const head = 'POST /chat/refresh HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
  await sendRaw(await listen(), `${head}transfer-encoding: chunked\r\n\r\nZZ\r\n`)
  const series = 'route="/api/v1/chat/refresh",status='
  const metrics = async () => (await request('GET', '/metrics')).body
  while (!(await metrics()).includes(`${series}"4xx"`)) await new Promise((resolve) => setImmediate(resolve))
  t.notMatch(await app.metrics.registry.metrics(), `${series}"2xx"`)
})

t.test('an address that cannot be decoded is a bad request with the client’s own id', async (t) => {
  const { request } = await buildTestApp(t)
  for (const url of ['/%zz', '/api/v1/chatflows/%ff%fe', '/%']) {
    const reply = await request('GET', url, { headers: { 'x-request-id': 'mine-1' } })
    t.equal(reply.statusCode, 400, url)
    t.equal(reply.json().code, 'bad_request')
    t.equal(reply.headers['x-request-id'], 'mine-1')
    t.equal(reply.json().request_id, 'mine-1')
  }
})

t.test('an expectation that nobody can meet is no reason for another kind of answer', async (t) => {
  const { listen } = await buildTestApp(t)
  const bytes = 'GET /unknown HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\nconnection: close\r\n\r\n'
  const reply = await sendRaw(await listen(), bytes)
  t.equal(reply.status, 404)
  t.equal(JSON.parse(reply.body).code, 'not_found')
})

t.test('line breaks in a header value do not become headers of the reply', async (t) => {
  const { listen } = await buildTestApp(t)
  const bytes = 'GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: a\r\nx-injected: yes\r\n\r\n'
  const reply = await sendRaw(await listen(), bytes)
  t.equal(reply.status, 200)
  t.equal(reply.headers['x-request-id'], 'a')
  t.equal(reply.headers['x-injected'], undefined)
})

t.test('an id that is too long or has other characters is replaced', async (t) => {
  const { request } = await buildTestApp(t)
  for (const id of ['a'.repeat(65), 'with space', 'semi;colon', 'ünï', '']) {
    const { headers } = await request('GET', '/health', { headers: { 'x-request-id': id } })
    t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/, id)
  }
  const { headers } = await request('GET', '/health', { headers: { 'x-request-id': 'A.b_c-9' } })
  t.equal(headers['x-request-id'], 'A.b_c-9')
})

t.test('a request must arrive in time, a reply may take as long as it likes', async (t) => {
  const { app } = await buildTestApp(t)
  t.equal(app.server.headersTimeout, 20_000)
  t.equal(app.server.requestTimeout, 300_000)
  t.equal(app.server.timeout, 0)
})
